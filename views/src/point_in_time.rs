//! The point-in-time join: for each left row, the newest right row of the same keys that was
//! there at the left row's time. So no training row learns from its future.
//!
//! ```sql
//! FROM labels l ASOF JOIN features f
//!   MATCH_CONDITION (l.ts >= f.ts                       -- or >, <=, <
//!                    AND l.ts - f.ts <= INTERVAL '7 days' -- the longest age
//!                    AND f._ingested_at <= l.ts)          -- known at that time
//!   ON l.user_id = f.user_id                            -- or USING (user_id)
//! ```
//!
//! Meaning. Every left row comes out exactly once. Its right columns are those of the *best* right
//! row that has equal keys and satisfies every conjunct of the match condition; NULL if there is
//! none. The best row under `>=` and `>` has the greatest time, under `<=` and `<` the least.
//! Among right rows of equal time the greatest row wins, its columns compared one by one in the
//! order of the relation, ascending, NULL below every value. So the answer is a function of the
//! inputs' rows alone: not of their order, of batch sizes, or of parallelism. A NULL key or time
//! never matches.
//!
//! The way of a join:
//!
//! 1. [`rewrite_as_of`] turns the join into a relation of its own, which a planner can claim.
//! 2. [`AsOfRelationPlanner`] plans both sides, checks the conditions, builds an [`AsOfJoinNode`].
//! 3. [`PushDownToLeft`] moves filters on left columns below the node.
//! 4. [`AsOfExtensionPlanner`] makes it a [`PointInTimeJoinExec`], which holds the shorter side in
//!    memory while the other streams past, or merges both sorted (module `strategy`).
//!
//! Never: joins a row that the condition excludes, drops a left row, or doubles one.

mod candidates;
mod columns;
mod condition;
mod exec;
mod gather;
mod index;
mod lookup;
mod merge;
mod node;
mod physical;
mod plan;
mod planner;
mod push_down;
mod relation;
mod rewrite;
mod sort;
mod strategy;
#[cfg(test)]
mod tests;
mod ties;
mod types;
mod waiting;

pub use exec::PointInTimeJoinExec;
pub use node::AsOfJoinNode;
pub use planner::AsOfExtensionPlanner;
pub use push_down::PushDownToLeft;
pub use relation::AsOfRelationPlanner;
pub use rewrite::rewrite_as_of;
