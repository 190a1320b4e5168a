//! Certificates that nobody has signed but ourselves, until a real one is there.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use std::collections::BTreeSet;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// Renewed when it has fewer days left than this.
const RENEW_DAYS: i64 = 30;
/// How long one is valid.
const VALID_DAYS: i64 = 825;
const DAY: i64 = 86_400;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[error("can't make a certificate: {0}")]
pub struct CertError(String);

/// A certificate for `names` and its key, in one PEM text.
///
/// # Errors
/// A name can't be in a certificate.
pub fn self_signed(names: &[String], now: i64) -> Result<String, CertError> {
    let failed = |e: rcgen::Error| CertError(e.to_string());
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    // RFC 5280 allows 64 characters; the names that count are the alternative ones.
    let common = names.iter().find(|name| name.len() <= 64).map_or("wcp360", String::as_str);
    params.distinguished_name.push(DnType::CommonName, common);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A clock that is a little behind must not refuse it.
    params.not_before = date(now - DAY);
    params.not_after = date(now + VALID_DAYS * DAY);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

fn date(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// Why the certificate in `pem` does not do for `names`; `None`: it does.
pub fn shortcoming(pem: &[u8], names: &[String], now: i64) -> Option<String> {
    let mut certificate = None;
    let mut has_key = false;
    for block in Pem::iter_from_buffer(pem) {
        match block {
            Ok(block) if block.label == "CERTIFICATE" && certificate.is_none() => certificate = Some(block),
            Ok(block) => has_key |= block.label.ends_with("PRIVATE KEY"),
            Err(_) => return Some("it can't be read".into()),
        }
    }
    let Some(certificate) = certificate else { return Some("it can't be read".into()) };
    if !has_key {
        return Some("its key is missing".into());
    }
    let Ok(certificate) = certificate.parse_x509() else { return Some("it can't be read".into()) };
    if certificate.validity().not_after.timestamp() < now + RENEW_DAYS * DAY {
        return Some("it expires soon".into());
    }
    let mut covered = BTreeSet::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            if let GeneralName::DNSName(name) = name {
                covered.insert(name.to_ascii_lowercase());
            }
        }
    }
    let self_signed = certificate.subject() == certificate.issuer();
    let wanted: BTreeSet<String> = names.iter().cloned().collect();
    if let Some(missing) = wanted.difference(&covered).next() {
        return Some(format!("it does not cover {missing}"));
    }
    // One of our own names exactly what is served; one that somebody signed may name more.
    if self_signed && let Some(extra) = covered.difference(&wanted).next() {
        return Some(format!("it covers {extra}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn what_is_made_does() {
        let wanted = names(&["a.test", "www.a.test"]);
        let pem = self_signed(&wanted, 1_800_000_000).unwrap();
        assert_eq!(shortcoming(pem.as_bytes(), &wanted, 1_800_000_000), None);
        assert!(shortcoming(pem.as_bytes(), &names(&["a.test", "b.test"]), 1_800_000_000).unwrap().contains("b.test"));
        assert!(shortcoming(pem.as_bytes(), &names(&["a.test"]), 1_800_000_000).unwrap().contains("www.a.test"));
        let later = 1_800_000_000 + (VALID_DAYS - RENEW_DAYS + 1) * DAY;
        assert!(shortcoming(pem.as_bytes(), &wanted, later).unwrap().contains("expires"));
        let (certificate, _) = pem.split_once("-----BEGIN PRIVATE").unwrap();
        assert!(shortcoming(certificate.as_bytes(), &wanted, 1_800_000_000).unwrap().contains("key"));
        assert!(shortcoming(b"", &wanted, 0).is_some());
        assert!(shortcoming(&pem.as_bytes()[..200], &wanted, 0).is_some());
    }

    #[test]
    fn long_names_fit() {
        let long = format!("{}.{}.test", "a".repeat(63), "b".repeat(63));
        let wanted = names(&[&long]);
        let pem = self_signed(&wanted, 1_800_000_000).unwrap();
        assert_eq!(shortcoming(pem.as_bytes(), &wanted, 1_800_000_000), None);
    }
}
