#![allow(clippy::unwrap_used, reason = "tests")]

use super::{LEN, Reader, VARINT, write, zigzag};
use proptest::prelude::*;

fn varint(bytes: &[u8]) -> Option<u64> {
    Reader::new(bytes).varint(VARINT).ok()
}

#[test]
fn varints_have_at_most_64_bits() {
    assert_eq!(varint(&[0x96, 0x01]), Some(150));
    assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Some(u64::MAX));
    assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None);
    assert_eq!(varint(&[0x80; 11]), None);
    assert_eq!(varint(&[0x80]), None);
    assert_eq!(varint(&[]), None);
}

#[test]
fn a_cut_off_field_is_told_with_its_place() {
    let mut reader = Reader::new(&[0x0a, 0x05, b'a']);
    let (_, wire) = reader.field().unwrap().unwrap();
    let fault = reader.bytes(wire).unwrap_err();
    assert_eq!((fault.at, fault.reason.as_ref()), (2, "the message is cut off"));
}

#[test]
fn text_that_is_not_utf8_is_told_with_its_place() {
    let mut reader = Reader::new(&[0x0a, 0x03, b'a', 0xff, b'b']);
    let (_, wire) = reader.field().unwrap().unwrap();
    let fault = reader.text(wire).unwrap_err();
    assert_eq!((fault.at, fault.reason.as_ref()), (3, "a string is not UTF-8"));
}

#[test]
fn unknown_fields_are_skipped_groups_included() {
    // Field 5 as a group that holds field 1 and a group 6; then field 2.
    let bytes = [0x2b, 0x08, 0x01, 0x33, 0x34, 0x2c, 0x10, 0x07];
    let mut reader = Reader::new(&bytes);
    let (number, wire) = reader.field().unwrap().unwrap();
    reader.skip(number, wire).unwrap();
    assert_eq!(reader.field().unwrap(), Some((2, VARINT)));
    assert_eq!(reader.varint(VARINT).unwrap(), 7);
    assert_eq!(reader.field().unwrap(), None);

    let open = [0x2b; 1000];
    let mut reader = Reader::new(&open);
    let (number, wire) = reader.field().unwrap().unwrap();
    assert!(reader.skip(number, wire).is_err());
    assert!(Reader::new(&[]).skip(1, 4).is_err());
    assert!(Reader::new(&[]).skip(1, 7).is_err());
}

#[test]
fn field_numbers_are_bounded() {
    assert!(Reader::new(&[0x00]).field().is_err());
    assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).field().is_err());
    assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).field().is_ok());
}

#[test]
fn repeated_numbers_are_read_packed_and_not() {
    let mut bytes = vec![0x0a, 0x02, 0x01, 0x02];
    write::tag(&mut bytes, 1, VARINT);
    write::varint(&mut bytes, 300);
    let mut reader = Reader::new(&bytes);
    let mut values = Vec::new();
    while let Some((_, wire)) = reader.field().unwrap() {
        reader
            .repeated(wire, VARINT, |reader, wire| {
                values.push(reader.varint(wire)?);
                Ok(())
            })
            .unwrap();
    }
    assert_eq!(values, [1, 2, 300]);
}

#[test]
fn a_time_past_63_bits_is_refused() {
    assert!(Reader::new(&[0xff; 8]).time(super::FIXED64).is_err());
    assert_eq!(Reader::new(&i64::MAX.to_le_bytes()).time(super::FIXED64).unwrap(), i64::MAX);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value: u64, number in 1_u32..1 << 29, text in ".{0,40}") {
        let mut bytes = Vec::new();
        write::tag(&mut bytes, number, VARINT);
        write::varint(&mut bytes, value);
        write::bytes(&mut bytes, number, text.as_bytes());
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.field().unwrap(), Some((number, VARINT)));
        prop_assert_eq!(reader.varint(VARINT).unwrap(), value);
        prop_assert_eq!(reader.field().unwrap(), Some((number, LEN)));
        prop_assert_eq!(reader.text(LEN).unwrap(), text);
        prop_assert_eq!(reader.field().unwrap(), None);
        let signed = value as i64;
        prop_assert_eq!(zigzag((signed << 1 ^ signed >> 63) as u64), signed);
    }
}
