//! What the command line says of itself: help, suggestions, the manual.

use crate::run;

const NOUNS: [&str; 6] = ["vrf", "pool", "profile", "vpc", "reservation", "allocation"];

#[test]
fn a_typo_is_answered_with_the_right_word() {
    for (line, word) in [
        ("pol list", "pool"),
        ("vpcs list", "vpc"),
        ("alocation list", "allocation"),
        ("pool lst", "list"),
        ("reservation creat", "create"),
        ("pool list --vrff a", "--vrf"),
        ("pool create a --rnge 10.0.0.0/8", "--range"),
        ("list -o jsn", "json"),
        ("completion bsh", "bash"),
        ("contxt list", "context"),
        ("evnts", "events"),
    ] {
        let ran = run(line, &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{line}");
        let tip = ran.stderr.lines().find(|line| line.contains("tip:"));
        let tip = tip.unwrap_or_else(|| panic!("{line}: {}", ran.stderr));
        assert!(tip.contains(&format!("'{word}'")), "{line}: {tip}");
    }
}

#[test]
fn everything_has_help_and_the_exit_codes_are_there() {
    let help = run("--help", &[]);
    assert!(help.text().contains("Exit codes: 0 done, 1 refused"));
    for noun in NOUNS {
        assert!(help.text().contains(&format!("  {noun} ")), "{noun}");
        let of_noun = run(&format!("help {noun}"), &[]);
        for verb in ["create", "list", "show", "update", "delete"] {
            assert!(of_noun.text().contains(&format!("  {verb} ")), "{noun}");
            let line = format!("help {noun} {verb}");
            let text = run(&line, &[]).text().to_owned();
            assert!(
                text.contains("Usage: ipam") && text.contains("--output <FORM>"),
                "{line}: {text}"
            );
            assert_eq!(run(&format!("{noun} {verb} --help"), &[]).text(), text);
        }
        // Without a verb the help is the answer, and it is no success.
        assert_eq!(run(noun, &[]).code, 2);
    }
    for verb in ["free", "events", "context", "completion", "man"] {
        assert!(help.text().contains(&format!("  {verb} ")), "{verb}");
    }
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("man1");
    let ran = run(&format!("man {}", dir.display()), &[]);
    assert!(ran.text().starts_with("The manual is in"));
    let page = |name: &str| std::fs::read_to_string(dir.join(name)).expect(name);
    assert!(page("ipam.1").starts_with(".ie") && page("ipam.1").contains(".TH ipam 1"));
    for noun in NOUNS {
        for verb in ["create", "list", "show", "update", "delete"] {
            let page = page(&format!("ipam-{noun}-{verb}.1"));
            assert!(page.contains("output"), "{noun} {verb}");
        }
    }
    assert!(page("ipam-events.1").contains("follow"));
    let main = run("man", &[]);
    assert!(main.text().contains("ipam\\-pool"), "{}", main.stdout);
}
