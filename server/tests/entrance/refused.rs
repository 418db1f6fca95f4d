//! Settings that don't fit together, or files that can't be used: the server does not start, and says why.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use ipam_testing::{TestServer, ipam_binary};

use crate::authority::{Authority, Files};

/// What the server says that does not start with these settings.
fn refusal(settings: &[(&str, &Path)]) -> (Option<i32>, String) {
    let output = Command::new(ipam_binary())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env_clear()
        // Nobody is asked for it before the settings are checked.
        .env("DATABASE_URL", "postgres://ipam@127.0.0.1:9/ipam")
        .env("API_KEY", TestServer::API_KEY)
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_certificate_that_can_not_be_used_is_refused() {
    let authority = Authority::new();
    let (pair, other) = (authority.issue(2049), authority.issue(2049));
    let files = Files::new(&pair);
    let (certificate, key) = (files.certificate(), files.key());
    let refused = |settings: &[(&str, &Path)], reason: &str| {
        let (code, said) = refusal(settings);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(!said.contains(pair.key.lines().nth(1).unwrap()), "{said}");
    };
    refused(
        &[("IPAM_TLS_CERT", &certificate)],
        "set --tls-cert and --tls-key",
    );
    refused(&[("IPAM_TLS_KEY", &key)], "set --tls-cert and --tls-key");
    let with = |reason: &str| {
        let settings = [("IPAM_TLS_CERT", &*certificate), ("IPAM_TLS_KEY", &*key)];
        refused(&settings, reason);
    };
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o644, 0o604, 0o641] {
        mode(open);
        with("every user of this machine can use it");
    }
    mode(0o600);
    fs::write(&key, &other.key).unwrap();
    with("does not belong to the first certificate in");
    for junk in ["", "nonsense", &pair.certificate] {
        fs::write(&key, junk).unwrap();
        with("has no private key in PEM format that is not encrypted");
    }
    fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    with("can't be used with the key in");
    fs::write(
        &key,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMC4CAQAw\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    with("that is not encrypted");
    files.write(&pair);
    for junk in ["", "nonsense", &pair.key] {
        fs::write(&certificate, junk).unwrap();
        with("has no certificate in PEM format");
    }
    fs::write(
        &certificate,
        "-----BEGIN CERTIFICATE-----\nMC4CAQAw\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    with("can't be used with the key in");
    fs::remove_file(&certificate).unwrap();
    with("cannot read the certificate");
    files.write(&pair);
    fs::remove_file(&key).unwrap();
    with("cannot read the key");
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for (setting, value, code, reason) in [
        ("IPAM_PROXY_PROTOCOL", "true", 1, "--trusted-proxies"),
        ("IPAM_TRUSTED_PROXIES", "10.0.0.1/8", 2, "10.0.0.0/8"),
        (
            "IPAM_TRUSTED_PROXIES",
            "proxy.example",
            2,
            "neither an address",
        ),
        ("IPAM_PUBLIC_URL", "ipam.example", 2, "https://ipam.example"),
        (
            "IPAM_PUBLIC_URL",
            "https://ipam.example/base",
            2,
            "without a path",
        ),
    ] {
        let (found, said) = refusal(&[(setting, Path::new(value))]);
        assert_eq!(found, Some(code), "{said}");
        assert!(said.contains(reason), "{said}");
    }
}
