//! Names that Loki takes, made of attribute keys: letters, digits and underscores, no digit in front.
//!
//! `http.request.method` becomes `http_request_method`, as in Loki's own OTLP endpoint. A name that would begin with a
//! digit, or that would hold no letter and no digit at all, begins with `key_`: Loki answers such names with 500.

/// Put before a name that could not stand alone.
const PREFIX: &[u8] = b"key_";

/// Appends the name of an attribute key.
pub(super) fn push_name(out: &mut Vec<u8>, key: &str) {
    if needs_prefix(key) {
        out.extend_from_slice(PREFIX);
    }
    if key.is_ascii() {
        out.extend(key.bytes().map(name_byte));
    } else {
        // One underscore for a letter, however many bytes it has.
        out.extend(key.chars().map(|letter| u8::try_from(letter).map_or(b'_', name_byte)));
    }
}

/// The name of an attribute key, for settings.
pub(super) fn name_of(key: &str) -> String {
    let mut name = Vec::new();
    push_name(&mut name, key);
    String::from_utf8(name).unwrap_or_default()
}

/// Whether an attribute key has this name.
pub(super) fn has_name(key: &str, name: &str) -> bool {
    if key.is_ascii() && !needs_prefix(key) {
        let mut bytes = key.bytes().zip(name.bytes());
        return key.len() == name.len() && bytes.all(|(byte, wanted)| name_byte(byte) == wanted);
    }
    name_of(key) == name
}

fn needs_prefix(key: &str) -> bool {
    match key.bytes().next() {
        Some(first) if first.is_ascii_alphabetic() => false,
        Some(first) if first.is_ascii_digit() => true,
        _ => !key.bytes().any(|byte| byte.is_ascii_alphanumeric()),
    }
}

fn name_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'_' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_become_names_as_in_lokis_own_endpoint() {
        for (key, name) in [
            ("http.request.method", "http_request_method"),
            ("k8s.pod/name", "k8s_pod_name"),
            ("_internal", "_internal"),
            ("2xx", "key_2xx"),
            ("gr\u{f6}\u{df}e", "gr__e"),
            ("", "key_"),
            ("...", "key____"),
            ("\u{65e5}\u{672c}", "key___"),
        ] {
            assert_eq!(name_of(key), name, "{key}");
            assert!(has_name(key, name), "{key}");
        }
        assert!(!has_name("service.name", "service_namf") && !has_name("a", "b") && !has_name("2x", "_x"));
    }

    proptest! {
        #[test]
        fn property_every_key_has_a_valid_name(key in "(?s:.{0,12})|[0-9._]{0,3}") {
            let name = name_of(&key);
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            prop_assert!(name.bytes().all(valid) && name.bytes().any(|byte| byte.is_ascii_alphanumeric()));
            prop_assert!(!name.starts_with(|letter: char| letter.is_ascii_digit()));
            prop_assert!(has_name(&key, &name));
        }
    }
}
