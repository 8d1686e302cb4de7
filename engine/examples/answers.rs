//! How long an answer takes, without sockets: plain, with EDNS, with a cookie, with rate limits. `answers [ROUNDS]`.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use zonewright_engine::build::build;
use zonewright_engine::clock::Clock;
use zonewright_engine::effect::Effects;
use zonewright_engine::limit::{self, Limiter};
use zonewright_engine::name::{self, Name};
use zonewright_engine::predicate::{Operand, Predicate};
use zonewright_engine::responder::{BlockParts, ZoneSlot};
use zonewright_engine::serve::Service;
use zonewright_engine::signed::SignedVersion;
use zonewright_engine::udp::{Answerer, Datagram, LARGEST};
use zonewright_engine::zonefile::{Limits, Source, read};

const NAMES: usize = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let limits = limit::Limits {
        rates: [200, 200, 200, 200, 200, 100_000],
        window: 15,
        slip: 2,
        v4_prefix: 24,
        v6_prefix: 56,
        exempt: Vec::new(),
        log_only: false,
        accounts: 131_072,
    };
    let limited = || Effects { limiter: Some(Arc::new(Limiter::new(limits.clone()))), ..Effects::default() };
    charges(&Limiter::new(limits.clone()), rounds);
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    for (title, effects, options, view) in [
        ("plain", Effects::default(), None, None),
        ("EDNS", Effects::default(), Some(&[][..]), None),
        ("EDNS and a cookie", Effects::default(), Some(&cookie[..]), None),
        ("plain, rate limited", limited(), None, None),
        ("plain, in a view by address", Effects::default(), None, Some(("client_ip", "within", "10.0.0.0/8"))),
        ("plain, in a view by name", Effects::default(), None, Some(("name", "matches", "^host[0-9]+\\.example"))),
    ] {
        let service = service(effects, view)?;
        let queries: Vec<Vec<u8>> = (0..NAMES).map(|number| query(number, options)).collect::<Result<_, _>>()?;
        let mut out = vec![0; LARGEST];
        let received = Instant::now();
        let mut answered = 0;
        for round in 0..rounds {
            let Some(octets) = queries.get(round % NAMES) else { continue };
            let [_, _, high, low] = u32::try_from(round)?.to_be_bytes();
            let client = SocketAddr::from(([10, high, low, 1], 5353));
            let datagram = Datagram { worker: 0, listener: 0, octets, client, local: None, received };
            answered += usize::from(service.on_datagram(&datagram, &mut out) > 0);
        }
        let took = received.elapsed();
        println!("{title}: {} ns an answer, {answered} of {rounds}", took.as_nanos() / u128::try_from(rounds)?);
    }
    Ok(())
}

/// What the accounts alone cost, with few of them and with more than there is room for.
fn charges(limiter: &Limiter, rounds: usize) {
    for (title, networks) in [("few", 16), ("many", 1 << 20)] {
        let start = Instant::now();
        let mut held_back = 0;
        for round in 0..rounds {
            let network = u32::try_from(round % networks).unwrap_or(0);
            let client = std::net::IpAddr::from((network << 8).to_be_bytes());
            let verdict = limiter.charge(client, limit::Class::Answer, b"\x03www\x07example\0", 1, 1_700_000_000);
            held_back += usize::from(verdict != limit::Verdict::Send);
        }
        let took = start.elapsed().as_nanos() / u128::try_from(rounds).unwrap_or(1);
        println!("accounts of {title} networks: {took} ns a response, {held_back} held back");
    }
}

type View = Option<(&'static str, &'static str, &'static str)>;

fn service(effects: Effects, view: View) -> Result<Service, Box<dyn std::error::Error>> {
    let origin = Name::from_text(b"example.", name::ROOT)?;
    let mut text = String::from("$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\n");
    for number in 0..NAMES {
        writeln!(text, "host{number} A 192.0.2.{}", number % 256)?;
    }
    let limits = Limits { includes: false, max_records: 0, max_generate: 0 };
    let (version, _) = build(&read(&origin, &[Source { name: "zone", octets: text.as_bytes() }], &limits), None);
    let slot = Arc::new(ZoneSlot::new(origin.clone()));
    slot.swap(version.map(|version| Arc::new(SignedVersion::new(Arc::new(version), None, None))));
    let service = Service::new(Arc::new(Clock::default()), 16)?;
    let view = view.map(|(fact, word, with)| {
        let program =
            [("fact", fact), (word, with)].map(|(word, text)| (word.to_owned(), Operand::Text(text.to_owned())));
        Predicate::of(program.to_vec()).map(Arc::new)
    });
    let view = view.transpose()?;
    service.route(vec![BlockParts {
        number: 0,
        listeners: vec![0],
        origins: vec![origin.clone()],
        zones: vec![(origin, slot)],
        chained: false,
        guarded: false,
        effects: Arc::new(effects),
        view,
        counted_as: "".into(),
    }]);
    Ok(service)
}

fn query(number: usize, options: Option<&[u8]>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut octets = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(options.is_some())];
    octets.extend_from_slice(&Name::from_text(format!("host{number}.example.").as_bytes(), name::ROOT)?);
    octets.extend([0, 1, 0, 1]);
    if let Some(options) = options {
        octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, u8::try_from(options.len())?]);
        octets.extend_from_slice(options);
    }
    Ok(octets)
}
