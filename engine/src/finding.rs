//! What the reader, the checks and the verification say of a zone: one finding at a place.

/// Whether a finding holds the zone back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The version is not published.
    Error,
    /// The operator is told.
    Warning,
}

/// One finding, with its place in a file where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The source's name as it was handed in; empty for none.
    pub file: String,
    /// From 1; 0 for none.
    pub line: u32,
    /// From 1, in octets; 0 for unknown.
    pub column: u32,
    /// A stable id in kebab case.
    pub rule: &'static str,
    /// Whether it holds the zone back.
    pub severity: Severity,
    /// What was found, with the value and the limit, lower case, no final dot.
    pub message: String,
}

impl Diagnostic {
    /// A finding without a place, about the zone as a whole.
    #[must_use]
    pub fn of_zone(rule: &'static str, severity: Severity, message: String) -> Self {
        Self { file: String::new(), line: 0, column: 0, rule, severity, message }
    }
}
