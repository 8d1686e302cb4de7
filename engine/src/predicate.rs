//! Predicates: what an expression of the Corefile says of a query, as trees without loops that can't fail.
//!
//! Words: a *fact* is what is known of a query before it is answered; a *program* is an expression's operators, each
//! behind its operands. Python reads the language and checks its kinds of values; where a program mixes them all the
//! same, the operation is false.
//! Limits: trees 200 deep, 10,000 operators; regular expressions take time in proportion to the text they search.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use regex::bytes::{Regex, RegexBuilder};

use crate::counters::Transport;
use crate::limit;
use crate::message::{CLASS_ANY, CLASS_IN, Query};
use crate::name;
use crate::rdata;

/// Operators of one predicate.
pub const MOST_OPERATORS: usize = 10_000;
/// How deep operators may stand in one another: evaluation recurses.
pub const DEEPEST: usize = 200;
/// Octets a compiled regular expression may take.
const REGEX_SIZE: usize = 1 << 18;

/// A query, and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The query.
    pub query: &'a Query<'a>,
    /// Its name in lower case, or the one it led to.
    pub lower: &'a [u8],
    /// The type that is asked for there.
    pub qtype: u16,
    /// Who asked.
    pub client: SocketAddr,
    /// The address and port that was asked, if that is known.
    pub server: Option<SocketAddr>,
    /// How.
    pub transport: Transport,
}

/// One fact.
#[derive(Clone, Copy, Debug)]
enum Fact {
    BufSize,
    Class,
    ClientIp,
    Do,
    Id,
    Name,
    Opcode,
    Port,
    Proto,
    ServerIp,
    ServerPort,
    Size,
    Type,
}

/// What an operator gives.
#[derive(Clone, Debug)]
enum Value<'a> {
    Truth(bool),
    Number(f64),
    Text(Cow<'a, [u8]>),
    Address(IpAddr),
}

/// What stands with an operator in a program.
#[derive(Clone, Debug)]
pub enum Operand {
    /// Nothing.
    None,
    /// True or false.
    Truth(bool),
    /// A number.
    Number(f64),
    /// A text: a value, a fact's name, a prefix, a regular expression.
    Text(String),
    /// What may be one of.
    List(Vec<Operand>),
}

#[derive(Clone, Copy, Debug)]
enum Pair {
    And,
    Or,
    Equal,
    Less,
    AtMost,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Debug)]
enum Node {
    Constant(Value<'static>),
    Fact(Fact),
    Not(Box<Node>),
    Negative(Box<Node>),
    Within(Box<Node>, IpAddr, u8),
    OneOf(Box<Node>, Vec<Value<'static>>),
    Matches(Box<Node>, Regex),
    Pair(Pair, Box<[Node; 2]>),
    Choice(Box<[Node; 3]>),
}

/// Expressions that hold together or not at all.
#[derive(Debug)]
pub struct Predicate(Vec<Node>);

impl Predicate {
    /// Of a program; what it leaves are the expressions that have to hold.
    ///
    /// # Errors
    /// It is no program: an operator is unknown or misses its operands, a regular expression can't be read.
    pub fn of(program: Vec<(String, Operand)>) -> Result<Self, String> {
        if program.len() > MOST_OPERATORS {
            return Err(format!("more than {MOST_OPERATORS} operators"));
        }
        let mut stack: Vec<(Node, usize)> = Vec::new();
        for (word, operand) in program {
            let (node, depth) = node_of(&word, operand, &mut stack)?;
            if depth > DEEPEST {
                return Err(format!("operators are nested more than {DEEPEST} deep"));
            }
            stack.push((node, depth));
        }
        Ok(Self(stack.into_iter().map(|(node, _)| node).collect()))
    }

    /// Whether it holds for a query.
    #[must_use]
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        self.0.iter().all(|node| node.is_true(facts))
    }
}

/// The node of an operator, which takes its operands off the stack, and how deep it is.
fn node_of(word: &str, operand: Operand, stack: &mut Vec<(Node, usize)>) -> Result<(Node, usize), String> {
    let mut deepest = 0;
    let mut pop = || {
        let (node, depth) = stack.pop().ok_or_else(|| format!("{word}: an operand is missing"))?;
        deepest = deepest.max(depth);
        Ok::<_, String>(node)
    };
    let mut boxed = || pop().map(Box::new);
    let node = match (word, operand) {
        ("constant", operand) => Node::Constant(value_of(operand).ok_or("constant: not a value")?),
        ("fact", Operand::Text(name)) => Node::Fact(fact_of(&name).ok_or_else(|| format!("{name}: no such fact"))?),
        ("not", Operand::None) => Node::Not(boxed()?),
        ("negative", Operand::None) => Node::Negative(boxed()?),
        ("within", Operand::Text(prefix)) => {
            let (address, bits) = prefix_of(&prefix).ok_or_else(|| format!("{prefix}: not a prefix"))?;
            Node::Within(boxed()?, address, bits)
        }
        ("one_of", Operand::List(list)) => {
            let values = list.into_iter().map(value_of).collect::<Option<_>>().ok_or("one_of: a list of values")?;
            Node::OneOf(boxed()?, values)
        }
        ("matches", Operand::Text(pattern)) => Node::Matches(boxed()?, regex_of(&pattern)?),
        ("choice", Operand::None) => {
            let (otherwise, then, condition) = (pop()?, pop()?, pop()?);
            Node::Choice(Box::new([condition, then, otherwise]))
        }
        (word, Operand::None) => {
            let pair = pair_of(word).ok_or_else(|| format!("{word}: no such operator"))?;
            let (right, left) = (pop()?, pop()?);
            Node::Pair(pair, Box::new([left, right]))
        }
        (word, _) => return Err(format!("{word}: no such operator with this operand")),
    };
    Ok((node, deepest + 1))
}

/// # Errors
/// Why it can't be read, in one line.
fn regex_of(pattern: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    // Names are octets, and Go's classes are those of ASCII, too.
    let builder = builder.unicode(false).size_limit(REGEX_SIZE).dfa_size_limit(REGEX_SIZE);
    builder.build().map_err(|error| match error {
        regex::Error::Syntax(text) => {
            text.lines().rfind(|line| line.starts_with("error: ")).map_or(text.clone(), |line| line[7..].to_owned())
        }
        regex::Error::CompiledTooBig(limit) => format!("it takes more than {limit} octets when compiled"),
        other => other.to_string(),
    })
}

fn value_of(operand: Operand) -> Option<Value<'static>> {
    Some(match operand {
        Operand::Truth(truth) => Value::Truth(truth),
        Operand::Number(number) => Value::Number(number),
        Operand::Text(text) => Value::Text(Cow::Owned(text.into_bytes())),
        Operand::None | Operand::List(_) => return None,
    })
}

fn fact_of(name: &str) -> Option<Fact> {
    Some(match name {
        "bufsize" => Fact::BufSize,
        "class" => Fact::Class,
        "client_ip" => Fact::ClientIp,
        "do" => Fact::Do,
        "id" => Fact::Id,
        "name" => Fact::Name,
        "opcode" => Fact::Opcode,
        "port" => Fact::Port,
        "proto" => Fact::Proto,
        "server_ip" => Fact::ServerIp,
        "server_port" => Fact::ServerPort,
        "size" => Fact::Size,
        "type" => Fact::Type,
        _ => return None,
    })
}

fn pair_of(word: &str) -> Option<Pair> {
    Some(match word {
        "and" => Pair::And,
        "or" => Pair::Or,
        "==" => Pair::Equal,
        "<" => Pair::Less,
        "<=" => Pair::AtMost,
        "+" => Pair::Add,
        "-" => Pair::Subtract,
        "*" => Pair::Multiply,
        "/" => Pair::Divide,
        "%" => Pair::Remainder,
        "contains" => Pair::Contains,
        "startsWith" => Pair::StartsWith,
        "endsWith" => Pair::EndsWith,
        _ => return None,
    })
}

fn prefix_of(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

impl Node {
    fn is_true(&self, facts: &Facts<'_>) -> bool {
        matches!(self.value(facts), Value::Truth(true))
    }

    fn value<'a>(&'a self, facts: &Facts<'a>) -> Value<'a> {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Fact(fact) => fact.of(facts),
            Self::Not(node) => Value::Truth(!node.is_true(facts)),
            Self::Negative(node) => match node.value(facts) {
                Value::Number(number) => Value::Number(-number),
                _ => Value::Truth(false),
            },
            Self::Within(node, prefix, bits) => {
                Value::Truth(matches!(node.value(facts), Value::Address(ip) if limit::is_within(ip, *prefix, *bits)))
            }
            Self::OneOf(node, values) => {
                let value = node.value(facts);
                Value::Truth(values.iter().any(|one| value.equals(one)))
            }
            Self::Matches(node, regex) => Value::Truth(regex.is_match(&node.value(facts).into_text())),
            Self::Pair(pair, nodes) => pair.value(nodes, facts),
            Self::Choice(nodes) => {
                let [condition, then, otherwise] = &**nodes;
                if condition.is_true(facts) { then.value(facts) } else { otherwise.value(facts) }
            }
        }
    }
}

impl Pair {
    fn value<'a>(self, [left, right]: &'a [Node; 2], facts: &Facts<'a>) -> Value<'a> {
        let (first, second) = match self {
            Self::And => return Value::Truth(left.is_true(facts) && right.is_true(facts)),
            Self::Or => return Value::Truth(left.is_true(facts) || right.is_true(facts)),
            _ => (left.value(facts), right.value(facts)),
        };
        if let (Value::Number(a), Value::Number(b)) = (&first, &second) {
            return match self {
                Self::Less => Value::Truth(a < b),
                Self::AtMost => Value::Truth(a <= b),
                Self::Add => Value::Number(a + b),
                Self::Subtract => Value::Number(a - b),
                Self::Multiply => Value::Number(a * b),
                Self::Divide => Value::Number(a / b),
                Self::Remainder => Value::Number(a % b),
                Self::Equal => Value::Truth(first.equals(&second)),
                _ => Value::Truth(false),
            };
        }
        if let Self::Equal = self {
            return Value::Truth(first.equals(&second));
        }
        let (first, second) = (first.into_text(), second.into_text());
        Value::Truth(match self {
            Self::Less => first < second,
            Self::AtMost => first <= second,
            Self::Contains => second.is_empty() || first.windows(second.len()).any(|part| *part == *second),
            Self::StartsWith => first.starts_with(&second),
            Self::EndsWith => first.ends_with(&second),
            Self::Add => return Value::Text([first, second].concat().into()),
            _ => false,
        })
    }
}

impl<'a> Value<'a> {
    // A number is equal to what was written as the same number: nothing is computed that would be off by a little.
    #[allow(clippy::float_cmp)]
    fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Truth(a), Value::Truth(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b,
            (Value::Address(a), Value::Address(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Address(address), Value::Text(text)) | (Value::Text(text), Value::Address(address)) => {
                address.to_string().as_bytes() == &**text
            }
            _ => false,
        }
    }

    /// Empty for what is no text.
    fn into_text(self) -> Cow<'a, [u8]> {
        match self {
            Value::Text(text) => text,
            Value::Address(address) => address.to_string().into_bytes().into(),
            Value::Truth(_) | Value::Number(_) => Cow::Borrowed(&[]),
        }
    }
}

fn number<'a>(value: impl Into<u32>) -> Value<'a> {
    Value::Number(value.into().into())
}

fn text<'a>(text: impl Into<Cow<'static, str>>) -> Value<'a> {
    Value::Text(match text.into() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

fn class_text(class: u16) -> Cow<'static, str> {
    match class {
        CLASS_IN => "IN".into(),
        3 => "CH".into(),
        4 => "HS".into(),
        254 => "NONE".into(),
        CLASS_ANY => "ANY".into(),
        other => format!("CLASS{other}").into(),
    }
}

impl Fact {
    fn of<'a>(self, facts: &Facts<'a>) -> Value<'a> {
        let query = facts.query;
        match self {
            Self::BufSize => number(if facts.transport == Transport::Tcp { u16::MAX } else { query.udp_size() }),
            Self::Class => text(class_text(query.qclass)),
            Self::ClientIp => Value::Address(facts.client.ip().to_canonical()),
            Self::Do => Value::Truth(query.dnssec_ok()),
            Self::Id => number(query.id),
            Self::Name => {
                let mut name = Vec::with_capacity(facts.lower.len() + 1);
                name::to_text(facts.lower, &mut name);
                Value::Text(name.into())
            }
            Self::Opcode => number(query.opcode()),
            Self::Port => text(facts.client.port().to_string()),
            Self::Proto => text(facts.transport.as_str()),
            Self::ServerIp => facts.server.map_or(text(""), |server| Value::Address(server.ip().to_canonical())),
            Self::ServerPort => facts.server.map_or(text(""), |server| text(server.port().to_string())),
            Self::Size => number(u32::try_from(query.octets.len()).unwrap_or(u32::MAX)),
            Self::Type => text(rdata::rtype_to_text(facts.qtype)),
        }
    }
}
