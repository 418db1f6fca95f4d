//! The functions, over the protocol and without a server or a configuration: what they answer, and at which argument
//! they say what is wrong.

use serde_json::{Value as Json, json};
use tfplugin::driver::{Driver, UNKNOWN};

use crate::BINARY;

/// A function, its arguments, and what it answers.
type Answered = (&'static str, Json, Json);

fn networks() -> Vec<Answered> {
    vec![
        (
            "contains",
            json!(["10.0.0.0/16", "10.0.255.255"]),
            json!(true),
        ),
        ("contains", json!(["10.0.0.0/16", "10.1.0.0"]), json!(false)),
        (
            "contains",
            json!(["10.0.0.0/16", "10.0.0.0/16"]),
            json!(true),
        ),
        (
            "contains",
            json!(["10.0.0.0/16", "10.0.0.0/15"]),
            json!(false),
        ),
        ("contains", json!(["::/0", "2001:db8::1"]), json!(true)),
        ("contains", json!(["::/0", "10.0.0.0/8"]), json!(false)),
        ("overlaps", json!([]), json!(false)),
        ("overlaps", json!(["10.0.0.0/8"]), json!(false)),
        (
            "overlaps",
            json!(["10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/16"]),
            json!(true),
        ),
        (
            "overlaps",
            json!(["10.0.0.0/24", "10.0.1.0/24", "::/0"]),
            json!(false),
        ),
        ("summarize", json!([[]]), json!([])),
        (
            "summarize",
            json!([["::/1", "0.0.0.0/0", "8000::/1", "10.0.0.0/8"]]),
            json!(["0.0.0.0/0", "::/0"]),
        ),
        (
            "subtract",
            json!([["0.0.0.0/0"], ["0.0.0.0/1"]]),
            json!(["128.0.0.0/1"]),
        ),
        (
            "subtract",
            json!([["10.0.0.0/24"], ["10.0.0.0/8"]]),
            json!([]),
        ),
        (
            "subtract",
            json!([["10.0.0.0/30"], ["10.0.0.1/32"]]),
            json!(["10.0.0.0/32", "10.0.0.2/31"]),
        ),
    ]
}

fn blocks() -> Vec<Answered> {
    vec![
        (
            "split",
            json!(["10.0.0.0/16", [20, 20, 18]]),
            json!(["10.0.0.0/20", "10.0.16.0/20", "10.0.64.0/18"]),
        ),
        ("split", json!(["10.0.0.0/16", []]), json!([])),
        ("split", json!(["::/0", [0]]), json!(["::/0"])),
        (
            "split",
            json!(["2001:db8::/127", [128, 128]]),
            json!(["2001:db8::/128", "2001:db8::1/128"]),
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 24, 0]),
            json!("10.0.0.0/24"),
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 24, 255]),
            json!("10.0.255.0/24"),
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 24, -256]),
            json!("10.0.0.0/24"),
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 16, -1]),
            json!("10.0.0.0/16"),
        ),
        (
            "nth_block",
            json!(["::/0", 128, -1]),
            json!("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"),
        ),
        (
            "nth_block",
            json!(["::/0", 64, u64::MAX]),
            json!("ffff:ffff:ffff:ffff::/64"),
        ),
        // Minus all of them: a float of JSON that is exactly 2^128.
        (
            "nth_block",
            json!(["::/0", 128, -(2_f64.powi(128))]),
            json!("::/128"),
        ),
    ]
}

fn sizes() -> Vec<Answered> {
    vec![
        ("usable_hosts", json!([23]), json!(507)),
        ("usable_hosts", json!([32]), json!(0)),
        ("usable_hosts", json!([0, "ipv4"]), json!(4_294_967_291_u32)),
        ("usable_hosts", json!([125, "ipv6"]), json!(3)),
        ("prefix_for_hosts", json!([1]), json!(26)),
        ("prefix_for_hosts", json!([4091]), json!(20)),
        ("prefix_for_hosts", json!([1, "ipv4"]), json!(29)),
        ("prefix_for_hosts", json!([4092, "ipv4"]), json!(19)),
        (
            "prefix_for_hosts",
            json!([4_294_967_291_u32, "ipv4"]),
            json!(0),
        ),
        ("prefix_for_hosts", json!([1000, "ipv6"]), json!(118)),
        ("prefix_for_hosts", json!([u64::MAX, "ipv6"]), json!(63)),
    ]
}

#[tokio::test]
async fn they_answer_without_a_server() {
    let driver = Driver::start(BINARY).await.unwrap();
    for (name, arguments, answer) in [networks(), blocks(), sizes()].concat() {
        let found = driver.call(name, arguments.as_array().unwrap()).await;
        assert_eq!(found, Ok(answer), "{name}{arguments}");
    }
    // All 2^128 addresses but five, to the last digit.
    let most = driver
        .call("usable_hosts", &[json!(0), json!("ipv6")])
        .await
        .unwrap();
    assert_eq!(
        most.to_string().trim_matches('"'),
        "340282366920938463463374607431768211451"
    );
}

/// How many blocks there will be is known before the blocks are.
#[tokio::test]
async fn a_split_of_what_is_not_known_yet_has_a_known_length() {
    let driver = Driver::start(BINARY).await.unwrap();
    for (arguments, answer) in [
        (
            json!([UNKNOWN, [20, 20, 18]]),
            json!([UNKNOWN, UNKNOWN, UNKNOWN]),
        ),
        (
            json!(["10.0.0.0/16", [20, UNKNOWN]]),
            json!([UNKNOWN, UNKNOWN]),
        ),
        (json!(["10.0.0.0/16", UNKNOWN]), json!(UNKNOWN)),
        (json!([UNKNOWN, []]), json!([])),
    ] {
        let found = driver.call("split", arguments.as_array().unwrap()).await;
        assert_eq!(found, Ok(answer), "{arguments}");
    }
}

/// A function, its arguments, the number of the wrong one, and what is said of it.
type Refused = (&'static str, Json, usize, &'static str);

fn wrong_networks() -> Vec<Refused> {
    vec![
        (
            "contains",
            json!(["10.0.0.1/16", "10.0.0.1"]),
            0,
            "has host bits set: the network is 10.0.0.0/16",
        ),
        (
            "contains",
            json!(["10.0.0.0", "10.0.0.1"]),
            0,
            "is not a CIDR",
        ),
        (
            "contains",
            json!(["10.0.0.0/16", "ten"]),
            1,
            "neither an address such as 10.0.0.7 nor a network",
        ),
        (
            "contains",
            json!(["10.0.0.0/16", "::ffff:10.0.0.1"]),
            1,
            "an IPv4 network written as IPv6",
        ),
        (
            "contains",
            json!(["10.0.0.0/33", "10.0.0.1"]),
            0,
            "/33 is not a prefix length",
        ),
        (
            "overlaps",
            json!(["10.0.0.0/8", "::/0", "x"]),
            2,
            "\"x\" is not a CIDR",
        ),
        (
            "summarize",
            json!([["10.0.0.0/8", null]]),
            0,
            "[1]: This needs a string",
        ),
        (
            "summarize",
            json!([["10.0.0.0/8", "10.0.0.1/8"]]),
            0,
            "[1]: \"10.0.0.1/8\" has host bits set",
        ),
        (
            "subtract",
            json!([["10.0.0.0/8"], ["a"]]),
            1,
            "[0]: \"a\" is not a CIDR",
        ),
    ]
}

fn wrong_blocks() -> Vec<Refused> {
    vec![
        (
            "split",
            json!(["10.0.0.0/16", [17, 17, 32]]),
            1,
            "[2]: a /32 does not fit any more: the blocks before it use all of 10.0.0.0/16",
        ),
        (
            "split",
            json!(["10.0.0.0/16", [20, 15]]),
            1,
            "[1]: /15 is not within /16 to /32",
        ),
        (
            "split",
            json!(["10.0.0.0/16", [20, 33]]),
            1,
            "[1]: /33 is not within /16 to /32",
        ),
        (
            "split",
            json!(["10.0.0.0/16", [20.5]]),
            1,
            "[0]: /20.5 is not a prefix length",
        ),
        (
            "split",
            json!(["10.0.0.0/16", [-1]]),
            1,
            "[0]: /-1 is not a prefix length",
        ),
        (
            "split",
            json!(["10.0.0.0/16", [null]]),
            1,
            "[0]: This needs a number",
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 24, 256]),
            2,
            "10.0.0.0/16 has 256 blocks of /24, 0 to 255 or -1 to -256; 256 is not one of them",
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 24, -257]),
            2,
            "-257 is not one of them",
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 16, 1]),
            2,
            "10.0.0.0/16 is the only block",
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 24, 0.5]),
            2,
            "0.5 is not the number of a block",
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 15, 0]),
            1,
            "A /15 is larger than 10.0.0.0/16",
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 33, 0]),
            1,
            "IPv4 has 0 to 32",
        ),
        ("nth_block", json!(["::/0", 129, 0]), 1, "IPv6 has 0 to 128"),
        (
            "nth_block",
            json!(["::/0", 128, 2_f64.powi(128)]),
            2,
            "::/0 has 340282366920938463463374607431768211456 blocks of /128, 0 to 340282366920938463463374607431768211455",
        ),
        (
            "nth_block",
            json!(["10.0.0.0/16", 24, 2_f64.powi(200)]),
            2,
            "10.0.0.0/16 has 256 blocks",
        ),
    ]
}

fn wrong_sizes() -> Vec<Refused> {
    vec![
        ("usable_hosts", json!([33]), 0, "IPv4 has 0 to 32"),
        ("usable_hosts", json!([129, "ipv6"]), 0, "IPv6 has 0 to 128"),
        (
            "usable_hosts",
            json!([24, "ipv5"]),
            1,
            "\"ipv5\" is neither ipv4 nor ipv6",
        ),
        (
            "usable_hosts",
            json!([24, "ipv4", "ipv6"]),
            2,
            "At most one family",
        ),
        ("prefix_for_hosts", json!([0, "ipv6"]), 0, "at least 1 host"),
        (
            "prefix_for_hosts",
            json!([2_f64.powi(64)]),
            0,
            "18446744073709551616 hosts are too many",
        ),
        (
            "prefix_for_hosts",
            json!([4_294_967_292_u32, "ipv4"]),
            0,
            "more than",
        ),
        (
            "prefix_for_hosts",
            json!([4092]),
            0,
            "4092 hosts are too many",
        ),
        (
            "prefix_for_hosts",
            json!([-3]),
            0,
            "a whole number, at least 1",
        ),
    ]
}

#[tokio::test]
async fn they_say_which_argument_is_wrong_and_why() {
    let driver = Driver::start(BINARY).await.unwrap();
    for (name, arguments, argument, says) in
        [wrong_networks(), wrong_blocks(), wrong_sizes()].concat()
    {
        let error = driver
            .call(name, arguments.as_array().unwrap())
            .await
            .unwrap_err();
        assert_eq!(
            error.argument,
            Some(argument),
            "{name}{arguments}: {error:?}"
        );
        assert!(error.text.contains(says), "{name}{arguments}: {error:?}");
    }
}

#[tokio::test]
async fn every_one_is_tested() {
    let driver = Driver::start(BINARY).await.unwrap();
    let source = include_str!("functions.rs");
    for name in driver.names().await.unwrap() {
        if !name.contains("ipam_") {
            assert!(
                source.matches(&format!("\"{name}\",")).count() > 1,
                "{name}"
            );
        }
    }
}
