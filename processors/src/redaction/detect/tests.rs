//! Tables of what each detector finds and leaves.

use super::super::window::Filter;
use super::*;

/// What a detector alone finds in a text.
fn found(detector: Detector, text: &str) -> Vec<&str> {
    let mut filter = Filter::new();
    detector.windows().into_iter().for_each(|window| filter.add(3, window));
    let mut floor = 0;
    let mut all = Vec::new();
    filter.scan(text.as_bytes(), |end, _| {
        if let Some(range) = detector.find(text.as_bytes(), end, floor) {
            floor = range.end;
            all.push(&text[range]);
        }
    });
    all
}

#[track_caller]
fn check(detector: Detector, cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        assert_eq!(found(detector, text), *expected, "{} in {text}", detector.name());
    }
}

#[test]
fn cards_have_a_prefix_a_length_and_a_right_last_digit() {
    // The test numbers that the issuers and processors publish.
    for number in [
        "4111111111111111",
        "4222222222222",
        "4000056655665556",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "371449635398431",
        "6011111111111117",
        "30569309025904",
        "38520000023237",
        "3530111333300000",
        "6200000000000005",
        "6759649826438453",
    ] {
        let text = format!("paid with {number}, thanks");
        assert_eq!(found(Detector::CreditCard, &text), [number]);
        for position in 0..number.len() {
            let mut wrong = number.as_bytes().to_vec();
            wrong[position] = b'0' + (wrong[position] - b'0' + 1) % 10;
            let wrong = format!("paid with {}, thanks", String::from_utf8(wrong).unwrap());
            assert_eq!(found(Detector::CreditCard, &wrong), [""; 0], "{wrong}");
        }
    }
    check(
        Detector::CreditCard,
        &[
            ("4111 1111 1111 1111", &["4111 1111 1111 1111"]),
            ("4111-1111-1111-1111-", &["4111-1111-1111-1111"]),
            ("n=4111+1111+1111+1111&", &["4111+1111+1111+1111"]),
            ("n%3D4111%201111%201111%201111", &["4111%201111%201111%201111"]),
            (r"a\n4111111111111111\n", &["4111111111111111"]),
            ("3782 822463 10005", &["3782 822463 10005"]),
            ("12 4111 1111 1111 1111 12 2030", &["4111 1111 1111 1111"]),
            ("4111 1111-1111 1111", &[]),
            ("x4111111111111111", &[]),
            ("4111111111111111x", &[]),
            ("0.4111111111111111", &[]),
            ("14111111111111111", &[]),
            ("1732000000123456789", &[]),
            ("0000000000000000", &[]),
            ("4111111111111111 4111111111111111", &["4111111111111111", "4111111111111111"]),
        ],
    );
}

#[test]
fn the_luhn_sum_is_that_of_the_standard() {
    let is_right = |number: &str| card::luhn(&number.bytes().map(|digit| digit - b'0').collect::<Vec<_>>());
    for (number, expected) in [
        ("79927398713", true),
        ("79927398710", false),
        ("0", true),
        ("18", true),
        ("81", false),
        ("59", true),
    ] {
        assert_eq!(is_right(number), expected, "{number}");
    }
}

#[test]
fn numbers_that_were_never_given_out_are_no_social_security_numbers() {
    check(
        Detector::Ssn,
        &[
            ("078-05-1120", &["078-05-1120"]),
            ("ssn:899-99-9999.", &["899-99-9999"]),
            ("001 01 0001", &["001 01 0001"]),
            ("000-12-3456", &[]),
            ("666-12-3456", &[]),
            ("900-12-3456", &[]),
            ("999-12-3456", &[]),
            ("665-12-3456 667-12-3456", &["665-12-3456", "667-12-3456"]),
            ("123-00-3456", &[]),
            ("123-45-0000", &[]),
            ("123-45 6789", &[]),
            ("1123-45-6789", &[]),
            ("123-45-67890", &[]),
            ("123-45-6789-1", &[]),
            ("1-123-45-6789", &[]),
            ("2024-12-19", &[]),
        ],
    );
}

#[test]
fn account_numbers_have_the_length_of_their_country_and_a_right_check() {
    // The examples of the registry.
    for number in [
        "AD1200012030200359100100",
        "AE070331234567890123456",
        "AT611904300234573201",
        "BE68539007547034",
        "CH9300762011623852957",
        "DE89370400440532013000",
        "ES9121000418450200051332",
        "FR1420041010050500013M02606",
        "GB29NWBK60161331926819",
        "IT60X0542811101000000123456",
        "MT84MALT011000012345MTLCAST001S",
        "NL91ABNA0417164300",
        "NO9386011117947",
        "PL61109010140000071219812874",
        "SE4550000000058398257466",
    ] {
        assert_eq!(found(Detector::Iban, &format!("to {number}.")), [number]);
        let grouped: Vec<_> =
            number.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
        let grouped = grouped.join(" ");
        assert_eq!(found(Detector::Iban, &format!("to {grouped}.")), [grouped.as_str()]);
        let wrong = format!("{}{}", &number[..4], number[4..].replace(['0', '1'], "2"));
        assert_eq!(found(Detector::Iban, &wrong), [""; 0]);
    }
    check(
        Detector::Iban,
        &[
            ("XX89370400440532013000", &[]),
            ("DE8937040044053201300", &[]),
            ("DE893704004405320130000", &[]),
            ("ADE89370400440532013000", &[]),
        ],
    );
}

#[test]
fn tokens_and_keys_are_known_by_their_form() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1g";
    let jwe = "eyJhbGciOiJSU0EifQ.OKOawDo13gRp.48V1_ALb6US0.5eym8TW_c8SuK.XFBoMYUZodet";
    check(
        Detector::Jwt,
        &[
            (&format!("t {jwt} x"), &[jwt]),
            (&format!("t%3D{jwe}."), &[jwe]),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0", &[]),
            ("heyJude.eyJ.x", &[]),
        ],
    );
    check(
        Detector::BearerToken,
        &[
            ("Bearer mF_9.B5f-4.1JqM", &["mF_9.B5f-4.1JqM"]),
            ("BEARER%20abcdefg1", &["abcdefg1"]),
            ("bearer of the ring", &[]),
            ("forbearer abcdefg1", &[]),
            ("bearer authentication", &[]),
        ],
    );
    check(
        Detector::AwsKey,
        &[
            ("AKIAIOSFODNN7EXAMPLE", &["AKIAIOSFODNN7EXAMPLE"]),
            ("id=ASIAIOSFODNN7EXAMPLE,", &["ASIAIOSFODNN7EXAMPLE"]),
            ("AKIAIOSFODNN7EXAMPLEX", &[]),
            ("XAKIAIOSFODNN7EXAMPLE", &[]),
        ],
    );
    let google = format!("AIza{}", "aB3_-".repeat(7));
    let client = format!("GOCSPX-{}", "aB3_".repeat(7));
    check(
        Detector::GcpKey,
        &[(&format!("k={google}&{client}"), &[&google, &client]), (&format!("{google}x"), &[])],
    );
    let classic = format!("ghp_{}", "aB3x".repeat(9));
    let fine = format!("github_pat_{}", "aB3x_".repeat(16));
    check(
        Detector::GithubToken,
        &[(&format!("https://{classic}@github.com {fine}"), &[&classic, &fine]), ("ghp_short the_path", &[])],
    );
    let bot = "xoxb-123456789012-abcdefABCDEF";
    check(
        Detector::SlackToken,
        &[(bot, &[bot]), ("xapp-1-A0B1C2D3E4-5", &["xapp-1-A0B1C2D3E4-5"]), ("xoxb-1", &[])],
    );
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
    check(
        Detector::PrivateKey,
        &[
            (&format!("key:\n{pem}\n"), &[pem]),
            ("-----BEGIN PRIVATE KEY-----\\nMIIE", &["-----BEGIN PRIVATE KEY-----\\nMIIE"]),
            ("-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", &[]),
        ],
    );
    check(
        Detector::UrlPassword,
        &[
            ("amqp://u:p@host/x", &["p"]),
            ("https://u:p@s:s@host", &["p@s:s"]),
            ("https://u@host http://host:80/a@b:c", &[]),
        ],
    );
}

#[test]
fn addresses_and_telephone_numbers_are_found_when_asked_for() {
    check(
        Detector::Email,
        &[
            ("<ann.o+x@mail.example.com>", &["ann.o+x@mail.example.com"]),
            ("to=ann%40example.com&", &["ann%40example.com"]),
            ("m%3Dann%40example.com", &["ann%40example.com"]),
            ("änn@exämple.com.", &["änn@exämple.com"]),
            ("ann@localhost @example.com a@b.c ann@1.2", &[]),
        ],
    );
    check(
        Detector::Phone,
        &[
            ("+49 30 901820", &["+49 30 901820"]),
            ("call +1-212-555-0199.", &["+1-212-555-0199"]),
            ("(212) 555-0199 or 212-555-0199", &["(212) 555-0199", "212-555-0199"]),
            ("1234567 2024-12-19 112-555-0199 +12", &[]),
        ],
    );
    check(
        Detector::Ipv4,
        &[
            ("from 10.1.2.3:80, 192.168.100.200.", &["10.1.2.3", "192.168.100.200"]),
            ("1.2.3 1.2.3.4.5 256.1.1.1 v1.2.3.4", &[]),
        ],
    );
    check(
        Detector::Ipv6,
        &[
            ("at 2001:db8::1, [::1]:80 fe80::1:2", &["2001:db8::1", "::1", "fe80::1:2"]),
            ("10:30:15 std::fmt a::b::c :: ", &[]),
        ],
    );
}
