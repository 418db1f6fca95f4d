//! The order of the lines of a file: whatever it is, the same networks are in each other's way.

use crate::{
    support::Api,
    transfer::{conflicts, send},
};

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The code and the two networks, in their own order, of each conflict that `lines` have, sorted.
fn pairs(found: &serde_json::Value, lines: &[&str]) -> Vec<(String, String, String)> {
    let of = |line: &serde_json::Value| -> String {
        let index = line.as_u64().expect("a line") as usize - 2;
        let network = lines[index].split(',').find(|cell| cell.contains('/'));
        network.expect("a network").to_owned()
    };
    let mut pairs: Vec<_> = found["conflicts"]
        .as_array()
        .expect("conflicts")
        .iter()
        .map(|one| {
            let (line, other) = (of(&one["line"]), of(&one["other_line"]));
            let code = one["code"].as_str().expect("a code").to_owned();
            assert!(one["line"].as_u64() > one["other_line"].as_u64(), "{one}");
            if line < other {
                (code, line, other)
            } else {
                (code, other, line)
            }
        })
        .collect();
    pairs.sort();
    pairs
}

async fn in_every_order(header: &str, lines: &[&str], conflicts: usize, rounds: usize) {
    let api = Api::start().await;
    let seed = 0x9e37_79b9_7f4a_7c15;
    let mut dice = Dice(seed);
    let mut order = lines.to_vec();
    let mut first = None;
    for round in 0..rounds {
        let file = format!("{header}\n{}\n", order.join("\n"));
        let dry = send(&api, "text/csv", "?dry_run=true", file.clone())
            .await
            .ok(200);
        let found = pairs(&dry, &order);
        assert_eq!(
            found.len(),
            conflicts,
            "round {round} of seed {seed}: {file}{dry:#}"
        );
        let expected = first.get_or_insert_with(|| found.clone());
        assert_eq!(&found, expected, "round {round} of seed {seed}: {file}");
        if round < 3 {
            let refused = send(&api, "text/csv", "", file).await;
            let (_, details) = refused.problem(409, "import_conflict");
            assert_eq!(details["conflicts"], dry["conflicts"]);
        }
        dice.shuffle(&mut order);
    }
}

#[tokio::test]
async fn three_nested_ranges_are_in_conflict_in_all_six_orders() {
    let api = Api::start().await;
    let lines = ["10.0.0.0/24,a", "10.0.0.0/20,b", "10.0.0.0/22,c"];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let file = format!("cidr,vpc\n{}\n", order.map(|index| lines[index]).join("\n"));
        let found = conflicts(&api, &file).await;
        assert_eq!(found.len(), 3, "{order:?}: {found:#?}");
        assert!(
            found.iter().all(|(_, code, _)| code == "overlap_in_file"),
            "{found:#?}"
        );
    }
}

/// Each network with each that contains it, and each but the first of equal ones with the first.
#[tokio::test]
async fn a_thousand_orders_of_nested_allocations_have_the_same_conflicts() {
    let lines = [
        "10.0.0.0/20,a",
        "10.0.0.0/22,b",
        "10.0.0.0/24,c",
        "10.0.1.0/24,d",
        "10.0.1.0/24,e",
        "10.0.1.128/25,f",
        "10.0.4.0/24,g",
        "10.0.16.0/22,h",
        "10.0.17.0/24,i",
        "10.0.20.0/24,j",
        "10.0.17.0/26,k",
        "10.0.18.0/24,l",
    ];
    // b 1, c 2, d 2, e 2 and its twin 1, f 3, g 1, i 1, k 2, l 1. Of twins only the first is compared with others.
    in_every_order("cidr,vpc", &lines, 14, 1_000).await;
}

#[tokio::test]
async fn nested_ranges_of_pools_have_the_same_conflicts_in_any_order() {
    let lines = [
        "pool,p1,172.16.0.0/16,",
        "pool,p2,172.16.0.0/18,",
        "pool,p3,172.16.0.0/20,",
        "pool,p4,172.16.32.0/20,",
        "pool,p5,172.17.0.0/16,",
    ];
    in_every_order("kind,pool,cidr,reason", &lines, 5, 100).await;
}

#[tokio::test]
async fn nested_reservations_have_the_same_conflicts_in_any_order() {
    // In a pool and outside of all.
    for base in ["10.0", "192.168"] {
        let lines = [
            format!("reservation,{base}.0.0/18,r"),
            format!("reservation,{base}.0.0/20,r"),
            format!("reservation,{base}.0.0/24,r"),
            format!("reservation,{base}.16.0/24,r"),
        ];
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        in_every_order("kind,cidr,reason", &lines, 4, 100).await;
    }
}
