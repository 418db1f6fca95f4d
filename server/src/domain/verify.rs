//! Verifies the invariants over the whole database, in case somebody changed it by hand, or for peace of mind.

use ipam_shared::api::event::Head;
use serde::Serialize;

use super::{Ipam, seal};
use crate::{
    db::{
        connection::LONG_PATIENCE,
        error::{CONSTRAINTS, INTERNAL},
        identity,
        verify::{self, Extent, definitions, space},
    },
    error::{RESTORED, Result},
};

/// What was checked and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How much was checked.
    pub extent: Extent,
    /// Events of the audit log that a seal covers.
    pub sealed_events: i64,
    /// The last seal that fits. Whoever keeps it can have it checked later.
    pub head: Option<Head>,
    /// What is wrong, a check and a sentence each; nothing if all is well. A check names at most a hundred findings.
    pub findings: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static str,
    /// What is wrong.
    pub finding: String,
}

impl Ipam {
    /// Reads everything in one snapshot, so that concurrent changes do no harm.
    pub async fn verify(&self) -> Result<Report> {
        self.verify_with(&[]).await
    }

    /// The same; and heads that were handed out have to be part of the audit log.
    pub async fn verify_with(&self, expected: &[Head]) -> Result<Report> {
        let mut transaction = self.begin_snapshot().await?;
        let db = &mut *transaction;
        db.set_patience(LONG_PATIENCE);
        let extent = verify::extent(db).await?;
        let restored = identity::find(&mut *db).await?;
        let mut findings = Vec::new();
        let mut add = |check: &'static str, found: Vec<String>| {
            findings.extend(found.into_iter().map(|finding| Finding { check, finding }));
        };
        let names: Vec<_> = CONSTRAINTS
            .iter()
            .map(|(name, _)| *name)
            .chain(INTERNAL.iter().copied())
            .map(str::to_owned)
            .collect();
        if restored.is_some_and(|found| found.is_restored) {
            add("restored", vec![RESTORED.to_owned()]);
        }
        add(
            "constraints",
            verify::missing_constraints(db, &names).await?,
        );
        add("triggers", verify::missing_triggers(db).await?);
        add("definitions", definitions::changed_definitions(db).await?);
        add("orphans", verify::orphans(db).await?);
        add("overlap", verify::overlaps(db).await?);
        add("cover", verify::uncovered(db).await?);
        add("merged", verify::split(db).await?);
        add("counts", verify::miscounted(db).await?);
        add("pairs", verify::incomplete(db).await?);
        add("nesting", space::nesting(db).await?);
        add("reservations", space::reservations(db).await?);
        add("cooldowns", space::cooldowns(db).await?);
        add("owners", space::owners(db).await?);
        add("past", space::past(db).await?);
        let sealed = seal::check(db, expected).await?;
        add("audit", sealed.findings);
        transaction.rollback().await?;
        Ok(Report {
            extent,
            sealed_events: sealed.events,
            head: sealed.head,
            findings,
        })
    }
}
