//! Ensembles of decision trees: what they decide by, how they are laid out in memory, what becomes of
//! their scores.

mod classifier;
mod ensemble;
mod forest;
mod grow;
mod plan;
mod regressor;
mod sets;

pub(super) use classifier::classifier;
pub(super) use regressor::regressor;
pub(super) use sets::tree_ensemble;
