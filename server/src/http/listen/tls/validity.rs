//! When a certificate expires, which the TLS library does not say.

/// The first element of DER: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The end of an X.509 certificate's validity (RFC 5280, section 4.1), in seconds since 1970.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // Serial number, algorithm and issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, end) = element(validity)?;
    let (tag, end, _) = element(end)?;
    seconds(tag, std::str::from_utf8(end).ok()?)
}

/// A UTCTime, whose years have two digits, or a GeneralizedTime; both in UTC.
fn seconds(tag: u8, text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z')?;
    let digits = match (tag, digits.len()) {
        (0x17, 12) if digits < "5" => format!("20{digits}"),
        (0x17, 12) => format!("19{digits}"),
        (0x18, 14) => digits.to_owned(),
        _ => return None,
    };
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u16>().ok();
    let small = |range: std::ops::Range<usize>| u8::try_from(number(range)?).ok();
    let month = time::Month::try_from(small(4..6)?).ok()?;
    let date = time::Date::from_calendar_date(number(0..4)?.into(), month, small(6..8)?).ok()?;
    let end = date
        .with_hms(small(8..10)?, small(10..12)?, small(12..14)?)
        .ok()?;
    Some(end.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_certificates_write_them() {
        assert_eq!(seconds(0x17, "700101000000Z"), Some(0));
        assert_eq!(seconds(0x17, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(0x17, "500101000000Z"), Some(-631_152_000));
        assert_eq!(seconds(0x18, "20500101000000Z"), Some(2_524_608_000));
        assert_eq!(seconds(0x18, "99991231235959Z"), Some(253_402_300_799));
        for (tag, text) in [
            (0x17, ""),
            (0x17, "700101000000"),
            (0x17, "20500101000000Z"),
            (0x18, "700101000000Z"),
            (0x17, "701301000000Z"),
            (0x17, "700230000000Z"),
            (0x17, "70010100000äZ"),
            (0x04, "700101000000Z"),
        ] {
            assert_eq!(seconds(tag, text), None, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_found_in_it() {
        let mut made = rcgen::CertificateParams::new(["ipam".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        for (year, expected) in [(2049, 2_493_072_000), (2120, 4_733_510_400)] {
            made.not_after = rcgen::date_time_ymd(year, 1, 1);
            let certificate = made.self_signed(&key).unwrap();
            assert_eq!(not_after(certificate.der()), Some(expected), "{year}");
            // Whatever is missing, nothing panics.
            for length in 0..certificate.der().len() {
                let _ = not_after(&certificate.der()[..length]);
            }
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
