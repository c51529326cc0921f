//! Landlock: the calling thread, and all that it starts, lose the file system and the network,
//! what is behind the door aside.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::{Door, Hosts};

/// Linux 6.7 or newer: the first that also keeps from connecting.
const OLDEST: ABI = ABI::V4;
/// Linux 6.12: the first that keeps signals and abstract sockets inside. Used where it is there.
const NEWEST: ABI = ABI::V6;

/// Forbids everything that landlock knows but the door; what is open stays open.
pub(super) fn forbid(door: &Door) -> Result<(), String> {
    let status = restrict(door)?;
    match status {
        RulesetStatus::NotEnforced => Err("the kernel does not enforce it".into()),
        _ => Ok(()),
    }
}

fn restrict(door: &Door) -> Result<RulesetStatus, String> {
    let text = |error: RulesetError| error.to_string();
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(OLDEST))
        .and_then(|ruleset| ruleset.handle_access(network(&door.hosts)))
        .and_then(|ruleset| {
            ruleset
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(AccessFs::from_all(NEWEST))?
                .scope(Scope::from_all(NEWEST))
        })
        .and_then(Ruleset::create)
        .map_err(text)?;
    for folder in &door.files {
        let open = PathFd::new(folder).map_err(|error| error.to_string())?;
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        rules = rules.add_rule(PathBeneath::new(open, read)).map_err(text)?;
    }
    if let Hosts::Ports(ports) = &door.hosts {
        for port in ports {
            let rule = NetPort::new(*port, AccessNet::ConnectTcp);
            rules = rules.add_rule(rule).map_err(text)?;
        }
    }
    let status = rules.restrict_self().map_err(text)?;
    Ok(status.ruleset)
}

/// Landlock knows ports, not hosts: where any port may be called, it forbids listening only.
fn network(hosts: &Hosts) -> BitFlags<AccessNet> {
    match hosts {
        Hosts::Any => AccessNet::BindTcp.into(),
        Hosts::None | Hosts::Ports(_) => AccessNet::from_all(OLDEST),
    }
}
