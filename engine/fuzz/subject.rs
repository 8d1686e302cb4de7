//! What datagrams are thrown at, and what must be true of whatever it says: shared by the fuzzer and `tests/datagrams.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zonewright_engine::build::build;
use zonewright_engine::clock::Clock;
use zonewright_engine::cookie::Cookies;
use zonewright_engine::crypto::SigningKey;
use zonewright_engine::denial::Choice;
use zonewright_engine::effect::{Any, Effects, LONGEST_NSID};
use zonewright_engine::limit::{self, Limiter};
use zonewright_engine::message::Query;
use zonewright_engine::name::Name;
use zonewright_engine::nsec3::Params;
use zonewright_engine::predicate::{Operand, Predicate};
use zonewright_engine::responder::{Arrival, BlockParts, Outcome, Transport, ZoneSlot, refuse};
use zonewright_engine::serve::Service;
use zonewright_engine::signed::{Plan, SignedVersion};
use zonewright_engine::text;
use zonewright_engine::tsig;
use zonewright_engine::udp::{Answerer, Datagram, LARGEST};
use zonewright_engine::zonefile::{Limits, Source, read};

/// Signed: aliases, loops, cuts, wildcards, empty non-terminals, answers too large for a datagram.
const SIGNED: &str = "
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 300
@ NS ns
@ NS ns.far.test.
@ MX 10 mail
@ TXT \"apex\" \"of a signed zone\"
ns A 192.0.2.1
ns AAAA 2001:db8::1
mail A 192.0.2.2
www CNAME web
web A 192.0.2.3
out CNAME www.far.test.
down CNAME alias.sub
far CNAME back.sub
fall DNAME sub
none CNAME a.empty
loop1 CNAME loop2
loop2 CNAME loop1
chain1 CNAME chain2
chain2 CNAME chain3
chain3 CNAME missing
* TXT wild
*.wild A 192.0.2.4
*.wild CAA 0 issue \"ca.test\"
a.b.c.d A 192.0.2.5
tree DNAME sub2
x.sub2 A 192.0.2.6
self DNAME self
cut NS ns.cut
cut NS ns
ns.cut A 192.0.2.7
secure NS ns.secure
secure DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.secure A 192.0.2.8
deep.below.cut A 192.0.2.9
_sip._tcp SRV 1 2 5060 web
_https HTTPS 1 . alpn=h2
_alias HTTPS 0 _svc.sub
mx MX 1 ns.sub
Upper.Case A 192.0.2.10
\\000\\255 A 192.0.2.11
";

const UNSIGNED: &str = "
$TTL 60
@ SOA ns hostmaster 7 3600 600 86400 300
@ NS ns
ns A 192.0.2.20
alias CNAME ns
back CNAME x.wild.example.
_svc HTTPS 0 alias
* A 192.0.2.21
";

/// The first key of RFC 8080 section 6.1: PKCS#8 head and seed, and the DNSKEY's public key.
const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const SEED: &[u8; 32] = b"82260384628080122645190204142262";
const DNSKEY: [u8; 36] = [
    1, 1, 3, 15, 0x97, 0x4d, 0x96, 0xa2, 0x2d, 0x22, 0x4b, 0xc0, 0x1a, 0xdb, 0x91, 0x50, 0x91, 0x47, 0x7d, 0x44, 0xcc,
    0xd9, 0x1c, 0x9a, 0x41, 0xa1, 0x14, 0x30, 0x01, 0x01, 0x17, 0xd5, 0x2c, 0x59, 0x24, 0x0e,
];

/// A service without sockets that serves zones of every kind.
pub struct Subject {
    service: Service,
    /// The longest origins last.
    zones: Vec<(Name, Arc<ZoneSlot>)>,
    out: Vec<u8>,
    again: Vec<u8>,
}

/// Where the blocks have every effect, and cookies are required.
const ODD: u32 = 1;

/// Where responses are held back or cut, and ANY is answered with all there is.
const LIMITED: u32 = 2;

impl Subject {
    /// `example.` signed, below it zones with each way of denial, one that came signed, `sub.example.` unsigned and
    /// `empty.example.` without a version, `chained.test.` for Python; on a second listener with every effect, on a
    /// third with limits.
    pub fn new() -> Self {
        let clock = Clock::default();
        clock.stop_at(1_700_000_000);
        let service = Service::new(Arc::new(clock), 16).expect("an eventfd");
        let zones = vec![
            slot("example.", Some((&large_zone(), Some(plan(Choice::Nsec))))),
            slot("hashed.example.", Some((&large_zone(), Some(plan(hashed(false)))))),
            slot("open.example.", Some((&large_zone(), Some(plan(hashed(true)))))),
            slot("compact.example.", Some((&large_zone(), Some(plan(Choice::Compact))))),
            slot("brought.example.", Some((&brought_zone("brought.example.", Choice::Nsec), None))),
            slot("ready.example.", Some((&brought_zone("ready.example.", hashed(true)), None))),
            slot("sub.example.", Some((UNSIGNED, None))),
            slot("empty.example.", None),
        ];
        let served = zones.clone();
        let origins: Vec<Name> = zones.iter().map(|(origin, _)| origin.clone()).collect();
        let block = |number, listener, origins, zones, chained, effects| BlockParts {
            number,
            listeners: vec![listener],
            origins,
            zones,
            chained,
            guarded: chained,
            effects,
            view: None,
            counted_as: "".into(),
        };
        let logged = Arc::new(Effects { log: true, ..Effects::default() });
        let chained = vec![name("chained.test.")];
        service.route(vec![
            BlockParts {
                view: Some(some_view()),
                ..block(4, 0, origins.clone(), zones.clone(), false, Arc::clone(&logged))
            },
            block(0, 0, origins.clone(), zones.clone(), false, logged),
            block(1, 0, chained.clone(), Vec::new(), true, Arc::default()),
            block(2, ODD, origins.clone(), zones.clone(), false, every_effect()),
            block(3, ODD, chained.clone(), Vec::new(), true, every_effect()),
            block(5, LIMITED, origins, zones, false, limited()),
            block(6, LIMITED, chained, Vec::new(), true, limited()),
        ]);
        Self { service, zones: served, out: vec![0; LARGEST], again: vec![0; LARGEST] }
    }

    /// Asks in every way, and panics when what is said breaks a promise; the answer by UDP.
    pub fn check(&mut self, query: &[u8]) -> &[u8] {
        check_tsig(query);
        for listener in [ODD, 0] {
            let length = ask(&self.service, listener, query, &mut self.out);
            let repeated = ask(&self.service, listener, query, &mut self.again);
            drop(self.service.log_entries(usize::MAX));
            let answer = self.out.get(..length).expect("no longer than the room for it");
            assert_eq!(Some(answer), self.again.get(..repeated), "the same query gets the same answer");
            if length > 0 {
                check_answer(query, answer, if listener == ODD { 4096 } else { 1232 });
            }
            self.check_stream(listener, query);
        }
        let length = ask(&self.service, LIMITED, query, &mut self.out);
        if length > 0 {
            check_answer(query, self.out.get(..length).expect("room"), 1232);
        }
        let length = ask(&self.service, 0, query, &mut self.out);
        self.check_dressed(query);
        self.out.get(..length).expect("no longer than the room for it")
    }

    /// The same by TCP, where what a chain would say is dressed and checked as well.
    fn check_stream(&mut self, listener: u32, query: &[u8]) {
        let arrival = arrival(listener, Transport::Tcp);
        let (outcome, answer) = self.service.respond(query, &arrival);
        match outcome {
            Outcome::Silent => {}
            Outcome::Answer(length) => {
                let answer = answer.get(..length).expect("room");
                check_answer(query, answer, u16::MAX);
                assert_eq!(answer[2] & 2, 0, "nothing is cut short by TCP");
            }
            Outcome::Declined(_) => {
                let Outcome::Answer(length) = refuse(query, 2, Some(15), &mut self.again) else { return };
                let response = self.again.get(..length).expect("room").to_vec();
                self.check_dress(query, &response, listener);
            }
        }
    }

    /// What chains make of whole answers: taken from each zone as by TCP, dressed for each listener.
    fn check_dressed(&mut self, query: &[u8]) {
        // Chains are asked QUERY alone.
        let Some(parsed) = Query::parse(query).ok().filter(|_| query[2] & 0x78 == 0) else { return };
        let lower = parsed.qname.to_ascii_lowercase();
        let within = |origin: &[u8]| lower.ends_with(origin);
        let found = self.zones.iter().rev().find(|(origin, _)| within(origin));
        let Some(slot) = found.map(|(_, slot)| Arc::clone(slot)) else { return };
        for transport in [Transport::Tcp, Transport::Udp] {
            let effects = Effects::default();
            let arrival = self::arrival(0, transport);
            let outcome = self.service.responder.answer_from(&slot, query, &arrival, &effects, &mut self.again);
            let Outcome::Answer(length) = outcome else { panic!("a chain's zone answers") };
            let response = self.again.get(..length).expect("room").to_vec();
            for listener in [0, ODD, LIMITED] {
                self.check_dress(query, &response, listener);
            }
        }
    }

    /// One response of a chain, dressed for both transports.
    fn check_dress(&mut self, query: &[u8], response: &[u8], listener: u32) {
        for transport in [Transport::Tcp, Transport::Udp] {
            let arrival = self::arrival(listener, transport);
            match self.service.responder.dress(query, response, &arrival, 0, &mut self.out) {
                Outcome::Answer(length) => {
                    let limit = if transport == Transport::Tcp { u16::MAX } else { 4096 };
                    check_answer(query, self.out.get(..length).expect("room"), limit);
                }
                Outcome::Silent => assert!(listener == LIMITED && transport == Transport::Udp, "held back for nothing"),
                Outcome::Declined(_) => panic!("a chain's answer goes to no chain"),
            }
        }
    }

    /// Any octets at all as what a chain says: dressed, and no longer than a message may be.
    #[allow(dead_code)]
    pub fn check_any_dress(&mut self, query: &[u8], response: &[u8]) {
        for (listener, transport) in [(0, Transport::Udp), (ODD, Transport::Udp), (ODD, Transport::Tcp)] {
            let arrival = self::arrival(listener, transport);
            let outcome = self.service.responder.dress(query, response, &arrival, 0, &mut self.out);
            let Outcome::Answer(length) = outcome else { continue };
            let dressed = self.out.get(..length).expect("room");
            let is_query = Query::parse(query).is_ok();
            if is_query && Said::of(response).is_some_and(|said| said.end == response.len()) {
                let said = Said::of(dressed).unwrap_or_else(|| panic!("{query:?} {response:?} {dressed:?}"));
                assert_eq!(said.end, length, "the sections hold what they say: {query:?} {response:?}");
            }
        }
    }
}

fn every_effect() -> Arc<Effects> {
    let limits = limit::Limits {
        rates: [1; 6],
        window: 15,
        slip: 2,
        v4_prefix: 24,
        v6_prefix: 56,
        exempt: Vec::new(),
        log_only: true,
        accounts: 64,
    };
    Arc::new(Effects {
        log: false,
        nsid: Some(vec![b'n'; LONGEST_NSID].into()),
        size: 4096,
        any: Any::Hinfo,
        minimal: true,
        cookies: Some(Arc::new(Cookies { secrets: vec![[7; 16], [8; 16]], required: true })),
        limiter: Some(Arc::new(Limiter::new(limits))),
    })
}

/// Some queries have it, some have not; it looks at every fact.
fn some_view() -> Arc<Predicate> {
    let names = ["class", "client_ip", "name", "port", "proto", "server_ip", "server_port", "type"];
    let mut program: Vec<(String, Operand)> = vec![("constant".into(), Operand::Text(String::new()))];
    for name in names {
        program.push(("fact".into(), Operand::Text(name.into())));
        program.push(("+".into(), Operand::None));
    }
    program.push(("matches".into(), Operand::Text("[a-m]+.*(IN|TYPE[0-9]+)$".into())));
    program.push(("constant".into(), Operand::Number(0.0)));
    for name in ["bufsize", "id", "opcode", "size"] {
        program.push(("fact".into(), Operand::Text(name.into())));
        program.push(("+".into(), Operand::None));
    }
    program.extend([
        ("constant".into(), Operand::Number(2.0)),
        ("%".into(), Operand::None),
        ("constant".into(), Operand::Number(0.0)),
        ("==".into(), Operand::None),
        ("fact".into(), Operand::Text("do".into())),
        ("or".into(), Operand::None),
        ("or".into(), Operand::None),
    ]);
    Arc::new(Predicate::of(program).expect("a program"))
}

fn limited() -> Arc<Effects> {
    let limits = limit::Limits {
        rates: [1; 6],
        window: 1,
        slip: 2,
        v4_prefix: 32,
        v6_prefix: 128,
        exempt: Vec::new(),
        log_only: false,
        accounts: 8,
    };
    Arc::new(Effects { any: Any::All, limiter: Some(Arc::new(Limiter::new(limits))), ..Effects::default() })
}

fn arrival(listener: u32, transport: Transport) -> Arrival {
    Arrival {
        worker: usize::MAX,
        listener,
        client: SocketAddr::from(([127, 0, 0, 1], 5353)),
        local: None,
        transport,
        batch: None,
        idle: 100,
    }
}

/// The answer's length; what is meant for Python is taken off its queue.
fn ask(service: &Service, listener: u32, octets: &[u8], out: &mut [u8]) -> usize {
    let client = SocketAddr::from(([127, 0, 0, 1], 5353));
    let datagram = Datagram { worker: 0, listener, octets, client, local: None, received: Instant::now() };
    let length = service.on_datagram(&datagram, out);
    while let Some(declined) = service.responder.next_declined() {
        assert_eq!((length, &*declined.octets), (0, octets), "a declined query is whole, and not answered");
    }
    length
}

fn check_answer(query: &[u8], answer: &[u8], limit: u16) {
    let head = |message: &[u8]| message.first_chunk::<12>().copied().expect("a header");
    let ([q0, q1, q_flags, q_low, ..], [a0, a1, a_flags, a_low, ..]) = (head(query), head(answer));
    assert_eq!((q0, q1), (a0, a1), "the id is the query's");
    assert_eq!(q_flags & 0x80, 0, "a response is never answered");
    assert_eq!(a_flags & 0x80, 0x80, "an answer is a response");
    assert_eq!(q_flags & 0x79, a_flags & 0x79, "opcode and RD are the query's");
    assert_eq!((q_low ^ a_low) & 0x10, 0, "CD is the query's");
    assert_eq!(a_low & 0xe0, 0, "RA, Z and AD are clear");
    // QUERY, NOTIFY and UPDATE are parsed, other opcodes are not.
    let parsed = Query::parse_any(query).ok().filter(|_| matches!(q_flags & 0x78, 0 | 0x20 | 0x28));
    let room = match &parsed {
        Some(query) => query.edns.map_or(512, |edns| edns.size).clamp(512, limit.max(512)),
        None => 12,
    };
    let room = if limit == u16::MAX { limit } else { room };
    assert!(answer.len() <= usize::from(room.max(12)), "{} octets, {room} at most", answer.len());
    let said = Said::of(answer).unwrap_or_else(|| panic!("the answer is well formed: {query:?} {answer:?}"));
    assert_eq!(said.end, answer.len(), "the sections hold what they say: {query:?} {answer:?}");
    let question = parsed.as_ref().map_or(&[][..], |parsed| &query[12..parsed.question_end]);
    assert_eq!(&answer[12..said.question_end], question, "the question is the query's, octet for octet");
    let has_edns = parsed.is_some_and(|parsed| parsed.edns.is_some());
    assert_eq!(said.opts, usize::from(has_edns), "an OPT answers an OPT: {query:?} {answer:?}");
}

/// A TSIG is found at the end of what is well formed, and is gone when it is taken off; in queries as the parser says.
fn check_tsig(message: &[u8]) {
    let found = tsig::find(message);
    if let Ok(query) = Query::parse(message) {
        assert_eq!(found.as_ref().is_ok_and(Option::is_some), query.has_tsig && found.is_ok(), "{message:?}");
    }
    let Ok(Some(found)) = found else { return };
    assert_eq!(found.rdata.end, message.len(), "it is the last record: {message:?}");
    let mut rest = message[..found.start].to_vec();
    let count = u16_at(&rest, 10).expect("a header") - 1;
    rest[10..12].copy_from_slice(&count.to_be_bytes());
    assert!(tsig::find(&rest).is_ok_and(|found| found.is_none()), "there is one alone: {message:?}");
}

/// What an answer holds, read by code of its own.
struct Said {
    question_end: usize,
    opts: usize,
    end: usize,
}

impl Said {
    /// `None` when it is malformed anywhere.
    fn of(message: &[u8]) -> Option<Self> {
        let count = |at: usize| Some(usize::from(u16_at(message, at)?));
        let mut at = 12;
        for _ in 0..count(4)? {
            at = end_of_name(message, at)? + 4;
        }
        let mut said = Self { question_end: at, opts: 0, end: at };
        let counts = [count(6)?, count(8)?, count(10)?];
        for (section, records) in counts.into_iter().enumerate() {
            for _ in 0..records {
                said.record(message, section)?;
            }
        }
        Some(said)
    }

    fn record(&mut self, message: &[u8], section: usize) -> Option<()> {
        let fixed = end_of_name(message, self.end)?;
        let (rtype, class) = (u16_at(message, fixed)?, u16_at(message, fixed + 2)?);
        let rdata = fixed + 10;
        let end = rdata + usize::from(u16_at(message, fixed + 8)?);
        message.get(rdata..end)?;
        if rtype == 41 {
            self.opts += 1;
            (section == 2 && fixed == self.end + 1).then_some(())?;
            check_options(message.get(rdata..end)?)?;
        } else {
            (class == 1 && self.opts == 0).then_some(())?;
            check_rdata(message, rtype, rdata, end)?;
        }
        self.end = end;
        Some(())
    }
}

/// The names and fixed fields of the types the zones have fill their rdata exactly.
fn check_rdata(message: &[u8], rtype: u16, rdata: usize, end: usize) -> Option<()> {
    let found = match rtype {
        1 => rdata + 4,
        28 => rdata + 16,
        2 | 5 | 12 | 39 => end_of_name(message, rdata)?,
        15 => end_of_name(message, rdata + 2)?,
        33 => end_of_name(message, rdata + 6)?,
        6 => end_of_name(message, end_of_name(message, rdata)?)? + 20,
        _ => end,
    };
    (found == end).then_some(())
}

fn check_options(mut options: &[u8]) -> Option<()> {
    let mut seen = Vec::new();
    while !options.is_empty() {
        let code = u16_at(options, 0)?;
        let end = 4 + usize::from(u16_at(options, 2)?);
        (!seen.contains(&code)).then(|| seen.push(code))?;
        options = options.get(end..)?;
    }
    Some(())
}

/// Where a name ends; pointers lead backwards, names are of at most 255 octets (RFC 1035 sections 3.1 and 4.1.4).
fn end_of_name(message: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut end, mut length) = (start, None, 1);
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(end.unwrap_or(at + 1)),
            label @ 1..=63 => {
                length += 1 + label;
                at += 1 + label;
            }
            0xc0.. => {
                let target = usize::from(u16_at(message, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                if target >= at {
                    return None;
                }
                at = target;
            }
            _ => return None,
        }
        if length > 255 {
            return None;
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

// ------------------------------------------------------------------ zones

fn name(text: &str) -> Name {
    Name::from_text(text.as_bytes(), zonewright_engine::name::ROOT).expect("a name")
}

fn slot(origin: &str, content: Option<(&str, Option<Arc<Plan>>)>) -> (Name, Arc<ZoneSlot>) {
    let origin = name(origin);
    let slot = Arc::new(ZoneSlot::new(origin.clone()));
    if let Some((text, plan)) = content {
        let sources = [Source { name: "zone", octets: text.as_bytes() }];
        let limits = Limits { includes: false, max_records: 0, max_generate: 0 };
        let (version, findings) = build(&read(&origin, &sources, &limits), None);
        let version = Arc::new(version.unwrap_or_else(|| panic!("a zone that loads: {findings:?}")));
        slot.swap(Some(Arc::new(SignedVersion::new(version, plan, None))));
    }
    (origin, slot)
}

fn hashed(opt_out: bool) -> Choice {
    Choice::Nsec3(Params { iterations: u16::from(opt_out), salt: Box::new([]), opt_out })
}

/// The large zone with the signatures that its key once made.
fn brought_zone(origin: &str, choice: Choice) -> String {
    let (_, slot) = slot(origin, Some((&large_zone(), Some(plan(choice)))));
    let signed = slot.current().expect("a version");
    while !signed.make(Duration::from_secs(60)) {}
    String::from_utf8(text::of_signed(&signed)).expect("ASCII")
}

fn plan(choice: Choice) -> Arc<Plan> {
    let key = SigningKey::from_pkcs8(&[&PKCS8_HEAD[..], &SEED[..]].concat(), &DNSKEY).expect("a key");
    Arc::new(Plan::new(vec![(Arc::new(key), true, true)], [1, 2_000_000_000, 3600, 0], choice).expect("a plan"))
}

/// The signed zone with an RRset that fits in no datagram, and one that fits only without proofs.
fn large_zone() -> String {
    let many = |owner: &str, count: u8| -> String {
        (0..count).map(|number| format!("{owner} TXT \"{number:>60}\"\n")).collect()
    };
    format!("{SIGNED}{}{}", many("large", 60), many("tight", 6))
}

/// Queries that reach what the zones have, to start from.
#[allow(dead_code)]
pub fn seeds() -> Vec<Vec<u8>> {
    let names = [
        "example.",
        "www.example.",
        "ns.example.",
        "loop1.example.",
        "down.example.",
        "far.example.",
        "x.fall.example.",
        "back.fall.example.",
        "none.example.",
        "mx.example.",
        "_alias.example.",
        "chain1.example.",
        "q.wild.example.",
        "c.d.example.",
        "x.tree.example.",
        "y.x.tree.example.",
        "a.self.example.",
        "host.cut.example.",
        "secure.example.",
        "large.example.",
        "tight.example.",
        "no.such.example.",
        "sub.example.",
        "alias.sub.example.",
        "any.sub.example.",
        "empty.example.",
        "a.empty.example.",
        "hashed.example.",
        "no.such.hashed.example.",
        "q.wild.hashed.example.",
        "c.d.hashed.example.",
        "host.cut.open.example.",
        "cut.open.example.",
        "no.such.open.example.",
        "large.compact.example.",
        "no.such.compact.example.",
        "q.wild.compact.example.",
        "y.x.tree.brought.example.",
        "no.such.brought.example.",
        "loop1.ready.example.",
        "cut.ready.example.",
        "no.such.ready.example.",
        "chained.test.",
        "refused.test.",
        ".",
        "_https.example.",
        "_sip._tcp.example.",
        "UPPER.case.EXAMPLE.",
        "out.example.",
    ];
    let types = [1, 2, 5, 6, 15, 16, 28, 33, 39, 43, 46, 47, 48, 65, 251, 252, 255];
    let mut seeds = Vec::new();
    for (index, text) in names.iter().enumerate() {
        for (other, qtype) in types.iter().enumerate() {
            seeds.push(query_of(
                text,
                *qtype,
                match (index + other) % 3 {
                    0 => None,
                    1 => Some((1232, false)),
                    _ => Some((4096, true)),
                },
            ));
        }
    }
    let (cookie, new) = ([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8], [0, 3, 0, 0, 0, 11, 0, 0]);
    let server = [&[0, 10, 0, 24][..], &[9; 24]].concat();
    for options in [&cookie[..], &new, &server, &[&new[..], &cookie].concat()] {
        let mut query = query_of("www.example.", 1, Some((1232, true)));
        let place = query.len() - 2;
        query.splice(place.., u16::try_from(options.len()).expect("short").to_be_bytes());
        query.extend_from_slice(options);
        seeds.push(query);
        let mut bare = vec![0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0];
        bare.push(u8::try_from(options.len()).expect("short"));
        bare.extend_from_slice(options);
        seeds.push(bare);
    }
    seeds
}

fn query_of(qname: &str, qtype: u16, edns: Option<(u16, bool)>) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    query.extend_from_slice(&name(qname));
    query.extend(qtype.to_be_bytes());
    query.extend([0, 1]);
    if let Some((size, dnssec_ok)) = edns {
        query.extend([0, 0, 41]);
        query.extend(size.to_be_bytes());
        query.extend([0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    }
    query
}
