//! Masks in the text of a log record what no log may carry, whichever crate wrote it: credentials of the path, keys,
//! tokens, addresses. Our own records have none of them; those of the crates below do at the level `trace`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What stands instead.
const MASK: &str = "…";

/// The last parts of names whose value is a secret: `pass`, `ice-pwd`, `master_key`.
const SECRET: [&str; 22] = [
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "creds",
    "integrity",
    "key",
    "keys",
    "material",
    "nonce",
    "pass",
    "passphrase",
    "password",
    "pwd",
    "salt",
    "secret",
    "secrets",
    "token",
    "tokens",
    "ufrag",
    "user",
    "username",
];

/// The text with secrets and addresses masked.
pub(super) fn masked(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        // "user mismatch: this != that" of `is`: both are credentials, and have no name beside them.
        if let Some(compared) = compared(rest, &output) {
            output.push_str(MASK);
            rest = rest.get(compared..).unwrap_or_default();
            continue;
        }
        let (kept, skipped) = if is_word(first) {
            word(rest)
        } else if first == '[' {
            (0, bracketed_address(rest))
        } else {
            (first.len_utf8(), 0)
        };
        // Nothing special: the character, or the word, stays.
        let kept = if kept + skipped == 0 { first.len_utf8() } else { kept };
        let (keep, after) = rest.split_at(kept);
        output.push_str(keep);
        if skipped > 0 {
            output.push_str(MASK);
        }
        rest = after.get(skipped..).unwrap_or_default();
    }
    output
}

/// The length of a word at one side of a `!=`; `before` is what stands before it.
fn compared(text: &str, before: &str) -> Option<usize> {
    let len = run(text, is_word).len();
    let after = text.get(len..).unwrap_or_default();
    let at_start = !before.ends_with(is_word);
    (len >= 4 && at_start && (after.starts_with(" != ") || before.ends_with(" != "))).then_some(len)
}

/// Of the word that the text begins with: how many bytes stay, and how many after them are masked.
fn word(text: &str) -> (usize, usize) {
    let address = address(text);
    if address > 0 {
        return (0, address);
    }
    let word = run(text, is_word);
    let after = text.get(word.len()..).unwrap_or_default();
    if word.len() >= 8 && word.starts_with("eyJ") {
        return (0, run(text, |c| is_word(c) || c == '.').len());
    }
    if looks_random(word) {
        return (0, word.len());
    }
    if word.eq_ignore_ascii_case("bearer") && after.starts_with(' ') {
        return (word.len() + 1, run(&after[1..], |c| !c.is_whitespace()).len());
    }
    let name = word.rsplit(['_', '-']).next().unwrap_or(word);
    if !SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
        return (word.len(), 0);
    }
    let (before, value) = value(after);
    (word.len() + before, value)
}

/// Letters of both cases and digits, as long as a credential that a program made.
fn looks_random(word: &str) -> bool {
    word.len() >= 16
        && word.contains(|c: char| c.is_ascii_lowercase())
        && word.contains(|c: char| c.is_ascii_uppercase())
        && word.contains(|c: char| c.is_ascii_digit())
        && !word.contains(['_', '-'])
}

/// After a name: how many bytes there are before its value, and how long that is; 0 where there is none to mask.
fn value(text: &str) -> (usize, usize) {
    // As in JSON, the name may have stood in quotes.
    let unquoted = text.strip_prefix('"').unwrap_or(text);
    let Some(separated) = unquoted.strip_prefix([':', '=']) else { return (0, 0) };
    let spaceless = separated.trim_start_matches(' ');
    let spaced = spaceless.len() < separated.len();
    let bare = spaceless.strip_prefix("Some(").unwrap_or(spaceless);
    let before = text.len() - bare.len();
    let len = match bare.chars().next() {
        Some('"') => quoted(bare),
        Some('[') => bare.find(']').map_or(bare.len(), |end| end + 1),
        _ => {
            let value = run(bare, |c| !c.is_whitespace() && !",;{}()[]\"".contains(c));
            // "no key: the track waits" is prose.
            let prose = spaced
                && !(value.len() >= 8 && value.contains(|c: char| c.is_ascii_digit() || c.is_uppercase()));
            if prose || value == "None" { 0 } else { value.len() }
        }
    };
    if len == 0 { (0, 0) } else { (before, len) }
}

/// The length of a quoted string with its quotes; one that was cut ends with the text.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the address that the text begins with, and of the port behind it.
fn address(text: &str) -> usize {
    let v4 = run(text, |c| c.is_ascii_digit() || c == '.').trim_end_matches('.');
    if v4.parse::<Ipv4Addr>().is_ok() {
        return v4.len() + port(text.get(v4.len()..).unwrap_or_default());
    }
    let v6 = run(text, |c| c.is_ascii_hexdigit() || c == ':' || c == '.').trim_end_matches('.');
    if v6.contains(':') && v6.parse::<Ipv6Addr>().is_ok() { v6.len() } else { 0 }
}

fn bracketed_address(text: &str) -> usize {
    let inside = run(text.get(1..).unwrap_or_default(), |c| c != ']');
    let bare = inside.split('%').next().unwrap_or_default();
    let end = inside.len() + 2;
    let closed = text.get(end - 1..end) == Some("]");
    if !closed || bare.parse::<Ipv6Addr>().is_err() {
        return 0;
    }
    end + port(text.get(end..).unwrap_or_default())
}

fn port(text: &str) -> usize {
    let digits = text.strip_prefix(':').map_or(0, |after| run(after, |c| c.is_ascii_digit()).len());
    if digits == 0 { 0 } else { digits + 1 }
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_keys_tokens_and_addresses_are_masked() {
        for (text, expected) in [
            (
                r#"IceRestart(IceCreds { ufrag: "aBcD", pass: "0123\"45" })"#,
                "IceRestart(IceCreds { ufrag: …, pass: … })",
            ),
            (
                r#"attrs: Attributes { username: "aB:cD", message_integrity: 34ef9a00, priority: 7 }"#,
                "attrs: Attributes { username: …, message_integrity: …, priority: 7 }",
            ),
            ("a=ice-ufrag:aBcD\r\na=ice-pwd:abc\r\n", "a=ice-ufrag:…\r\na=ice-pwd:…\r\n"),
            ("password: Some(\"x\"), pass: None", "password: Some(…), pass: None"),
            ("master_key: [1, 2, 3], salt=[4, 5", "master_key: …, salt=…"),
            (r#"{"token":"x y","n":1}"#, r#"{"token":…,"n":1}"#),
            ("pass: \"cut here", "pass: …"),
            ("said eyJhbGciOiJIUzI1NiJ9.eyJleHAi.x-_1, then", "said …, then"),
            ("authorization: Bearer abc.def done", "authorization: Bearer … done"),
            ("local user mismatch: URGjTaj != RPCbpzE, then", "local user mismatch: … != …, then"),
            ("got rLc4UbkAixebfeUpj.", "got …."),
            ("to 10.1.2.3:4567/udp or 10.1.2.3.", "to …/udp or …."),
            ("to [fe80::1%eth0]:80 or fe80::1", "to … or …"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn the_rest_stays() {
        for text in [
            "the track waits for no key: its sender has none",
            "key index 3, keys of alice",
            "3 != 4 of IceConnectionStateChange(Checking) and TR_AMabCd1234567890",
            "state=Succeeded attempts=2 prio=9151313343271665662",
            "version 1.2.3, at 12:34:56, datatrack::core [a, b] ünïcödé …",
            "[unclosed",
            "pass:",
            "",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
