//! What a CIDR is, according to three who did not ask each other: our parser, PostgreSQL's `cidr`, and Python's `ipaddress`.

use std::{
    io::{ErrorKind, Write as _},
    process::{Command, Stdio},
};

use ipam_shared::cidr::Cidr;
use ipam_testing::TestDatabase;

const STRINGS: usize = 100_000;
/// What is put in the place of, between, or behind the characters of something that may be a CIDR.
const ALPHABET: &str = "0123456789abcdefABCDEFgx:./+-%_ ,\t٣０é";

/// Random, and the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap_or_default()
    }

    fn four(&mut self) -> String {
        let length = self.below(34);
        let mut octets = [0; 4].map(|_: usize| self.below(260).to_string());
        // Host bits that are zero make it a network, now and then.
        for (at, octet) in octets.iter_mut().enumerate() {
            if self.below(3) > 0 && length <= 8 * at {
                "0".clone_into(octet);
            }
        }
        format!("{}/{length}", octets.join("."))
    }

    fn six(&mut self) -> String {
        let groups: Vec<_> = (0..8)
            .map(|_| format!("{:x}", self.below(0x1_0000)))
            .collect();
        let shown = self.below(8);
        let length = [0, 16, 32, 48, 64, 127, 128, 129, 7][self.below(9)];
        match self.below(4) {
            0 => format!("{}/{length}", groups.join(":")),
            1 => format!("::{}/128", groups[..shown].join(":")),
            2 => format!("::ffff:{}", self.four()),
            _ => format!(
                "{}::/{}",
                groups[..shown].join(":"),
                16 * shown + self.below(17)
            ),
        }
    }

    fn string(&mut self) -> String {
        let mut text: Vec<char> = match self.below(2) {
            0 => self.four(),
            _ => self.six(),
        }
        .chars()
        .collect();
        let alphabet: Vec<_> = ALPHABET.chars().collect();
        for _ in 0..self.below(3) {
            let (at, new) = (
                self.below(text.len() + 1),
                alphabet[self.below(alphabet.len())],
            );
            match self.below(3) {
                0 => text.insert(at, new),
                1 if at < text.len() => text[at] = new,
                _ if at < text.len() => {
                    text.remove(at);
                }
                _ => {}
            }
        }
        text.into_iter().collect()
    }
}

/// What PostgreSQL makes of each; none for what it refuses.
#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
async fn of_postgres(strings: &[String]) -> Vec<Option<String>> {
    let database = TestDatabase::new().await;
    let mut db = database.connect().await;
    let function = "create function pg_temp.read(given text) returns text language plpgsql as $$
        begin return given::cidr::text; exception when others then return null; end $$";
    sqlx::raw_sql(function).execute(&mut db).await.unwrap();
    sqlx::query_scalar("select pg_temp.read(given) from unnest($1::text[]) with ordinality as all_of (given, at) order by at")
        .bind(strings)
        .fetch_all(&mut db)
        .await
        .unwrap()
}

/// What Python makes of each; nothing without Python.
#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
fn of_python(strings: &[String]) -> Option<Vec<Option<String>>> {
    const PROGRAM: &str = "
import ipaddress, json, sys

def read(given):
    try:
        return str(ipaddress.ip_network(given, strict=True))
    except ValueError:
        return None

json.dump([read(given) for given in json.load(sys.stdin)], sys.stdout)";
    let python = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut python = match python {
        Ok(python) => python,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("python3: {error}"),
    };
    let mut input = python.stdin.take().unwrap();
    let text = serde_json::to_vec(strings).unwrap();
    let writing = std::thread::spawn(move || input.write_all(&text).unwrap());
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test]
async fn three_parsers_agree_on_what_a_network_is() {
    let mut dice = Dice(20_261_130);
    let strings: Vec<_> = (0..STRINGS).map(|_| dice.string()).collect();
    let others = [Some(of_postgres(&strings).await), of_python(&strings)];
    if others[1].is_none() {
        // The other one is compared all the same.
        assert!(others[0].is_some(), "SKIPPED: there is no python3");
    }
    let (mut accepted, mut refused) = (0, 0);
    for (at, text) in strings.iter().enumerate() {
        let theirs: Vec<_> = others
            .iter()
            .flatten()
            .map(|all| all[at].as_deref())
            .collect();
        match text.parse::<Cidr>() {
            Ok(cidr) => {
                accepted += 1;
                for their in theirs {
                    let their = their.map(|text| text.parse::<Cidr>());
                    assert_eq!(their, Some(Ok(cidr)), "{text:?}");
                }
                assert_eq!(cidr.to_string().parse(), Ok(cidr), "{text:?}");
            }
            Err(error) => {
                refused += 1;
                // What all others print just like that is a network, unless it is an IPv4 network in disguise.
                let is_canonical = theirs.iter().all(|their| *their == Some(text.as_str()));
                assert!(
                    !is_canonical || text.starts_with("::ffff:"),
                    "{text:?}: {error}"
                );
            }
        }
    }
    assert!(
        accepted > STRINGS / 20 && refused > STRINGS / 4,
        "{accepted} accepted, {refused} refused"
    );
}
