extern crate std;
use std::{format, string::String, vec::Vec};

use super::*;
use proptest::prelude::*;

fn skips(text: &[u8]) -> bool {
    let mut cursor = Cursor::new(text);
    cursor.skip().is_ok() && cursor.end().is_ok()
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut buffer = [0; 200];
    Some(Cursor::new(text.as_bytes()).string().ok()?.unescape(&mut buffer).ok()?.to_vec())
}

#[test]
fn nesting_has_an_end() {
    let nested = |depth| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert!(skips(&nested(MAX_DEPTH as usize)));
    assert!(!skips(&nested(MAX_DEPTH as usize + 1)));
    assert!(skips(br#"[{"a":[{"b":{}},[],""]},[[{}]]]"#));
}

#[test]
fn whole_numbers_are_capped_and_nothing_else() {
    let whole = |text: &str| Cursor::new(text.as_bytes()).whole().ok();
    assert_eq!((whole("0"), whole(" 120,"), whole("4096]")), (Some(0), Some(120), Some(4096)));
    assert_eq!(whole("99999999999999999999999"), Some(usize::MAX));
    assert_eq!((whole("-1"), whole("01"), whole("1.0"), whole("1e3"), whole("")), (None, None, None, None, None));
}

#[test]
fn room_that_does_not_do() {
    let raw = Cursor::new("\"a\\u00fcb\"".as_bytes()).string().unwrap();
    assert_eq!(raw.unescape(&mut [0; 4]), Ok("aüb".as_bytes()));
    assert_eq!(raw.unescape(&mut [0; 3]), Err(UnescapeError::TooLong));
    assert!(raw.is("aüb") && !raw.is("aü") && !raw.is("aüb "));
    assert_eq!(Cursor::new(b"\"\\ud800x\"").string().unwrap().unescape(&mut [0; 9]), Err(UnescapeError::Surrogate));
}

/// Text that is often JSON and often nearly so.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(std::vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"",
        "\\",
        "\\u00e9",
        "\\ud83e\\udd16",
        "\"\\n\"",
        "0",
        "-1.5e+3",
        "12",
        "true",
        "false",
        "null",
        " ",
        "\n",
        ".",
        "-",
        "é",
        "\u{1}",
    ]);
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<Option<bool>>().prop_map(|leaf| leaf.map_or(serde_json::Value::Null, Into::into)),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn utf8_is_what_core_takes_for_it() {
    // All pairs of bytes, and behind each what would make it whole.
    for first in 0..=255_u8 {
        for second in 0..=255 {
            for behind in [&[][..], &[0x80], &[0xbf, 0x80], &[0x80, 0xc0], &[0x41, 0x80]] {
                let bytes = [&[0x41, first, second], behind].concat();
                let expected = core::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
                assert_eq!(utf8_len(&bytes), expected, "{bytes:x?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn text_is_utf8_and_bytes_are_not(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        prop_assert_eq!(utf8_len(text.as_bytes()), text.len());
        let expected = core::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
        prop_assert_eq!(utf8_len(&bytes), expected);
    }

    #[test]
    fn takes_what_serde_takes(value in value()) {
        prop_assert!(skips(serde_json::to_string(&value).unwrap().as_bytes()));
        prop_assert!(skips(serde_json::to_string_pretty(&value).unwrap().as_bytes()));
    }

    #[test]
    fn refuses_what_serde_refuses(text in nearly_json()) {
        // `IgnoredAny` lets half surrogates through, as the cursor does where it only skips.
        let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(skips(text.as_bytes()), expected, "{}", text);
    }

    #[test]
    fn unescapes_as_serde_does(text in nearly_json()) {
        let text = format!("\"{}\"", text.replace('"', ""));
        let expected = serde_json::from_str::<String>(&text).ok().map(String::into_bytes);
        prop_assert_eq!(unescaped(&text), expected);
    }
}
