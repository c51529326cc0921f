//! Landlock: the calling thread, and all that it starts, lose the file system and the network.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    Scope,
};

/// Linux 6.7 or newer: the first that also keeps from connecting.
const OLDEST: ABI = ABI::V4;
/// Linux 6.12: the first that keeps signals and abstract sockets inside. Used where it is there.
const NEWEST: ABI = ABI::V6;

/// Forbids everything that landlock knows and allows nothing; what is open stays open.
pub(super) fn forbid() -> Result<(), String> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(OLDEST))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(OLDEST)))
        .and_then(|ruleset| {
            ruleset
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(AccessFs::from_all(NEWEST))?
                .scope(Scope::from_all(NEWEST))
        })
        .and_then(Ruleset::create);
    let status = ruleset
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel does not enforce it".into()),
        _ => Ok(()),
    }
}
