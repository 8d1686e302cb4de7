#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

fn wire(rtype: &str, text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let origin = name::Name::from_text(b"example.", name::ROOT).unwrap();
    from_line(rtype_from_text(rtype.as_bytes()).unwrap(), text.as_bytes(), &origin, &mut out).map(|()| out)
}

#[test]
fn every_mnemonic_is_found_by_text_and_number() {
    for number in 0..=u16::MAX {
        let text = rtype_to_text(number);
        assert_eq!(rtype_from_text(text.as_bytes()), Some(number));
        assert_eq!(rtype_from_text(text.to_ascii_lowercase().as_bytes()), Some(number));
        assert_eq!(rtype_from_text(format!("TYPE{number}").as_bytes()), Some(number));
    }
    assert_eq!(rtype_from_text(b"TYPE65536"), None);
    assert_eq!(rtype_from_text(b"FOO"), None);
}
