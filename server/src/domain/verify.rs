//! Verifies the invariants over the whole database, in case somebody changed it by hand, or for peace of mind.

use serde::Serialize;

use super::{Ipam, seal};
use crate::{
    db::{
        connection::LONG_PATIENCE,
        error::{CONSTRAINTS, INTERNAL},
        identity,
        verify::{self, Extent, space},
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
        let sealed_events = match seal::check(db).await? {
            Ok(sealed) => sealed.events,
            Err(finding) => {
                add("audit", vec![finding]);
                0
            }
        };
        transaction.rollback().await?;
        Ok(Report {
            extent,
            sealed_events,
            findings,
        })
    }
}
