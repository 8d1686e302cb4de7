//! Reads zone files changed at random for some seconds: `fuzz_zonefile SECONDS SEED`; a panic shows the file.

use std::time::{Duration, Instant};

#[path = "../fuzz/zonefile_subject.rs"]
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)]
mod subject;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let seed = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let (seeds, mut dice) = (subject::seeds(), subject::Dice::new(seed));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut files, mut records) = (0_u64, 0);
    while Instant::now() < end {
        let octets = subject::mutated(&seeds, &mut dice);
        match std::panic::catch_unwind(|| subject::check(&octets)) {
            Ok(read) => records += read.records.len(),
            Err(_) => return Err(format!("seed {seed}: {:?}", String::from_utf8_lossy(&octets)).into()),
        }
        files += 1;
    }
    println!("zonefile: {files} files, {records} records, seed {seed}");
    Ok(())
}
