//! Writes the queries that fuzzing of datagrams starts from, a file each, into the directory given; run by `tools/fuzz.sh`.

#[path = "../fuzz/subject.rs"]
#[allow(dead_code, clippy::pedantic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]
mod subject;

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_default();
    for (number, seed) in subject::seeds().iter().enumerate() {
        std::fs::write(format!("{directory}/seed-{number}"), seed)?;
    }
    Ok(())
}
