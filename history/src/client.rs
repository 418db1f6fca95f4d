//! A client that allocates, reads and releases through two servers, repeats what is safe to repeat, and writes down
//! everything that it sent and saw.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ipam_testing::TestServer;
use serde_json::{Value, json};

use crate::{
    dice::Dice,
    history::{Action, Allocation, Answer, Ask, Attempt, Id, Operation},
    http::{Connection, Reply, Request},
    net::{Net, Size},
};

pub(crate) const ALLOCATIONS: &str = "/api/v1/allocations";
/// What all clients compete for, to provoke conflicts between servers: names in one VPC, and certain networks, each a /26.
const SHARED_VPC: &str = "shared";
const SHARED_NAMES: usize = 6;
const CERTAIN: std::ops::RangeInclusive<u64> = 0..=63;
/// Longer than a server takes to say that it does not know the outcome.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long an operation goes on being repeated, and how long after the end of the run.
const PERSISTENCE: Duration = Duration::from_secs(60);
const LAST_TRIES: Duration = Duration::from_secs(3);

/// How clients behave.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// About as many allocations each of them keeps.
    pub keep: usize,
    /// How many of a hundred requests want a certain network, one of few that all others want too.
    pub certain: u64,
    /// Something between them and the servers sends indistinguishable requests twice, and drops the first answer.
    pub doubled: bool,
}

/// What all clients of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) servers: [SocketAddr; 2],
    /// When the clock of the run began.
    pub(crate) begin: Instant,
    pub(crate) progress: Arc<Progress>,
    pub(crate) habits: Habits,
}

/// How far a run is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The number of the last operation.
    operations: AtomicU64,
    /// Acknowledged changes.
    acknowledged: AtomicU64,
    /// When the end was declared: no further operation begins.
    end: OnceLock<Instant>,
}

impl Progress {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.end.get_or_init(Instant::now);
    }

    /// How long ago the end was, if it was.
    fn since_end(&self) -> Option<Duration> {
        self.end.get().map(Instant::elapsed)
    }
}

/// What a client believes to have.
struct Held {
    id: Id,
    /// Others may have it too.
    shared: bool,
}

pub(crate) struct Client {
    common: Common,
    number: usize,
    dice: Dice,
    connections: [Option<Connection>; 2],
    held: Vec<Held>,
    operations: Vec<Operation>,
}

impl Client {
    pub(crate) fn new(common: Common, number: usize, dice: Dice) -> Self {
        Self {
            common,
            number,
            dice,
            connections: [None, None],
            held: Vec::new(),
            operations: Vec::new(),
        }
    }

    /// Works until the run ends; answers what it did.
    pub(crate) async fn work(mut self) -> Vec<Operation> {
        while self.common.progress.since_end().is_none() {
            let operations = &self.common.progress.operations;
            let number = operations.fetch_add(1, Ordering::Relaxed) + 1;
            let action = self.choose(number);
            let operation = self.perform(number, action).await;
            if let (Action::Allocate(_), Some((_, allocation))) =
                (&operation.action, operation.shown())
            {
                self.held.push(Held {
                    id: allocation.id.clone(),
                    shared: allocation.vpc == SHARED_VPC,
                });
            }
            self.operations.push(operation);
        }
        self.operations
    }

    fn choose(&mut self, number: u64) -> Action {
        if !self.held.is_empty() {
            if self.dice.percent(12) {
                return Action::Read(self.held[self.dice.index(self.held.len())].id.clone());
            }
            let place = self.dice.index(self.held.len());
            if self.dice.percent(8) && !self.held[place].shared {
                let size = if self.dice.percent(70) {
                    Size::Length(if self.dice.percent(50) { 25 } else { 26 })
                } else {
                    Size::Hosts(self.dice.within(1..=250))
                };
                return Action::Resize(self.held[place].id.clone(), size);
            }
            let few = self.held.len() < self.common.habits.keep;
            if self.dice.percent(if few { 25 } else { 75 }) {
                // No longer held, whatever the outcome.
                let place = self.dice.index(self.held.len());
                return Action::Release(self.held.swap_remove(place).id);
            }
        }
        Action::Allocate(self.ask(number))
    }

    fn ask(&mut self, number: u64) -> Ask {
        if self.dice.percent(15) {
            // The same name is always the same request, so that it can be adopted.
            let shared = self.dice.index(SHARED_NAMES);
            return Ask {
                vpc: SHARED_VPC.to_owned(),
                name: Some(format!("s{shared}")),
                key: None,
                size: if shared.is_multiple_of(2) {
                    Size::Length(26)
                } else {
                    Size::Hosts(100)
                },
            };
        }
        let size = if self.dice.percent(self.common.habits.certain) {
            Size::Net(certain(self.dice.within(CERTAIN)))
        } else {
            match self.dice.index(15) {
                0..3 => Size::Hosts(self.dice.within(1..=250)),
                3..6 => Size::Length(25),
                6 => Size::Length(24),
                _ => Size::Length(26),
            }
        };
        let (name, key) = match self.dice.index(10) {
            0..4 => (Some(format!("n{number}")), None),
            4..7 => (None, Some(format!("key {number}"))),
            _ => (None, None),
        };
        Ask {
            vpc: format!("client-{}", self.number),
            name,
            key,
            size,
        }
    }

    /// Tries until the outcome is known, or it gives up.
    async fn perform(&mut self, number: u64, action: Action) -> Operation {
        let request = request(number, &action);
        let begin = Instant::now();
        let mut server = self.dice.index(2);
        let mut attempts = Vec::new();
        let is_bare = matches!(&action, Action::Allocate(ask) if !ask.is_repeatable());
        loop {
            if is_bare && self.common.habits.doubled {
                // An unanswered first one does not count as an attempt of the client: it does not know about it.
                self.attempt(server, &request, &action).await;
            }
            let answer = self.attempt(server, &request, &action).await;
            let again = match answer.as_ref().map(|attempt| &attempt.answer) {
                // Not even sent.
                None => true,
                Some(Answer::Refused(code)) => code == "unavailable",
                Some(Answer::Unknown(_)) => !is_bare && self.dice.percent(80),
                Some(_) => false,
            };
            if let Some(Attempt {
                answer: Answer::Shown(_) | Answer::Released,
                ..
            }) = &answer
                && !matches!(action, Action::Read(_))
            {
                let acknowledged = &self.common.progress.acknowledged;
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            attempts.extend(answer);
            let since_end = self.common.progress.since_end().unwrap_or_default();
            if !again || begin.elapsed() > PERSISTENCE || since_end > LAST_TRIES {
                return Operation {
                    number,
                    client: self.number,
                    action,
                    attempts,
                };
            }
            tokio::time::sleep(Duration::from_millis(self.dice.within(5..=60))).await;
            if self.dice.percent(60) {
                server = 1 - server;
            }
        }
    }

    /// None if it could not be sent.
    async fn attempt(
        &mut self,
        server: usize,
        request: &Request,
        action: &Action,
    ) -> Option<Attempt> {
        let mut connection = match self.connections[server].take() {
            Some(connection) => connection,
            None => Connection::open(self.common.servers[server]).await.ok()?,
        };
        let sent = self.common.begin.elapsed();
        let reply = connection.send(request, TestServer::API_KEY);
        let answer = match tokio::time::timeout(PATIENCE, reply).await {
            Ok(Ok(reply)) => {
                self.connections[server] = Some(connection);
                understand(action, &reply)
            }
            Ok(Err(error)) => Answer::Unknown(error.kind().to_string()),
            Err(_) => Answer::Unknown("no answer for too long".to_owned()),
        };
        Some(Attempt {
            server,
            sent,
            ended: self.common.begin.elapsed(),
            answer,
        })
    }
}

/// The first of them is 10.0.240.0/26.
fn certain(place: u64) -> Net {
    let first = 0x0a00_f000 + place * 64;
    let net = u32::try_from(first)
        .ok()
        .and_then(|first| Net::new(first, 26));
    net.expect("it is a multiple of 64")
}

fn request(number: u64, action: &Action) -> Request {
    match action {
        Action::Read(id) => Request::new("GET", format!("{ALLOCATIONS}/{id}")),
        Action::Resize(id, size) => {
            let mut request = Request::new("PATCH", format!("{ALLOCATIONS}/{id}"));
            request.body = Some(with_size(json!({}), *size));
            request
        }
        Action::Release(id) => Request::new("DELETE", format!("{ALLOCATIONS}/{id}")),
        Action::Allocate(ask) => {
            let mut body = json!({"vpc": ask.vpc, "description": number.to_string()});
            if let Some(name) = &ask.name {
                body["name"] = json!(name);
            }
            let mut request = Request::new("POST", ALLOCATIONS.to_owned());
            request.idempotency_key = ask.key.clone();
            request.body = Some(with_size(body, ask.size));
            request
        }
    }
}

fn with_size(mut body: Value, size: Size) -> Value {
    match size {
        Size::Hosts(hosts) => body["hosts"] = json!(hosts),
        Size::Length(length) => body["prefix_length"] = json!(length),
        Size::Net(net) => body["cidr"] = json!(net.to_string()),
    }
    body
}

fn understand(action: &Action, reply: &Reply) -> Answer {
    let code = || reply.body["code"].as_str().unwrap_or_default().to_owned();
    match (reply.status, action) {
        (200 | 201, Action::Allocate(_)) | (200, Action::Read(_) | Action::Resize(..)) => {
            Answer::Shown(
                shown(&reply.body).unwrap_or_else(|| panic!("not an allocation: {}", reply.body)),
            )
        }
        (204, Action::Release(_)) => Answer::Released,
        (410, _) => Answer::Gone,
        (404, Action::Read(_) | Action::Resize(..) | Action::Release(_)) => Answer::Missing,
        // The database was unavailable before anything was done.
        (503, _) if code() == "unavailable" => Answer::Refused(code()),
        (400..500, _) => Answer::Refused(code()),
        (500.., _) => Answer::Unknown(code()),
        (status, _) => panic!("what does {status} mean? {}", reply.body),
    }
}

/// An allocation from the API; none if it is not one.
pub(crate) fn shown(body: &Value) -> Option<Allocation> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let blocks = body["blocks"].as_array()?;
    // In the order of the profile.
    let roles: Vec<_> = blocks.iter().map(|block| block["role"].as_str()).collect();
    if roles != [Some("primary"), Some("cgnat")] {
        return None;
    }
    Some(Allocation {
        id: text(&body["id"])?,
        vpc: text(&body["vpc"])?,
        name: text(&body["name"]),
        blocks: blocks
            .iter()
            .map(|block| block["cidr"].as_str()?.parse().ok())
            .collect::<Option<_>>()?,
    })
}
