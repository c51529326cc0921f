//! Seccomp: the system calls that serving needs, and no others.
//!
//! What is not listed fails with `EPERM` and kills nothing: a library that tries something
//! optional goes on without it.

use std::collections::BTreeMap;

use libc::{
    AF_INET, AF_INET6, CLONE_THREAD, ENOSYS, EPERM, O_ACCMODE, O_RDONLY, PR_SET_NAME, PROT_EXEC,
    c_long,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::{Door, Hosts};

/// Allowed whatever their arguments are.
const ALLOWED: &[c_long] = &[
    // Descriptors that are open: sockets, pipes, standard error, files in memory.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    // Memory that is not executable: see `with_conditions`.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_memfd_create,
    // Threads of this process.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Not allowed: the other filter answers that there is no such call.
    libc::SYS_clone3,
    libc::SYS_openat2,
    // Signals: a trap of a guest is one.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_restart_syscall,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
];

/// Allowed besides where a component has files. What may be opened is landlock's affair.
const FOR_FILES: &[c_long] = &[
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_fadvise64,
];

/// Allowed besides where images are loaded: reading their files, which are open, and how long they
/// are.
const FOR_IMAGES: &[c_long] = &[libc::SYS_pread64, libc::SYS_statx];

/// Allowed besides where a component may call hosts: connections to them and to name servers.
const FOR_HOSTS: &[c_long] = &[
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
];

/// Applies the filter to every thread of this process; those that they start inherit it.
pub(super) fn restrict(door: &Door) -> Result<(), String> {
    // These hide their flags from a filter. Told that there are none, libraries use the older
    // `clone` and `openat`.
    let hiding = [libc::SYS_clone3, libc::SYS_openat2];
    let hiding = hiding.map(|call| (call, Vec::new())).into();
    let (missing, refused) = (errno(ENOSYS), errno(EPERM));
    apply(program(hiding, SeccompAction::Allow, missing)?)?;
    if door.images {
        // Memory with a loaded image would become executable: wasmtime keeps a function in it that
        // writes the image where it cannot be mapped. Here it always is. So the kernel does nothing
        // and says that it did; should the function ever be called, the process dies of it.
        let executable = argument(
            2,
            SeccompCmpOp::MaskedEq(PROT_EXEC as u64),
            PROT_EXEC as u64,
        );
        let pretend = rules([(libc::SYS_mprotect, executable)])?;
        apply(program(pretend, SeccompAction::Allow, errno(0))?)?;
    }
    apply(program(allowed(door)?, refused, SeccompAction::Allow)?)
}

fn allowed(door: &Door) -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let (has_files, has_hosts) = (!door.files.is_empty(), door.hosts != Hosts::None);
    let for_files = FOR_FILES.iter().filter(|_| has_files);
    let for_hosts = FOR_HOSTS.iter().filter(|_| has_hosts);
    let for_images = FOR_IMAGES.iter().filter(|_| door.images);
    let always = ALLOWED.iter().chain(for_files).chain(for_hosts);
    let always = always.chain(for_images);
    let mut conditions = Vec::from(with_conditions());
    conditions.extend(has_files.then(to_read));
    conditions.extend(has_hosts.then(internet).into_iter().flatten());
    let mut allowed = rules(conditions)?;
    allowed.extend(always.map(|call| (*call, Vec::new())));
    if door.images {
        // The filter before has the last word.
        allowed.insert(libc::SYS_mprotect, Vec::new());
    }
    Ok(allowed)
}

fn rules(
    conditions: impl IntoIterator<Item = Conditional>,
) -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let mut rules = BTreeMap::<_, Vec<_>>::new();
    for (call, condition) in conditions {
        let rule = condition
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| error.to_string())?;
        rules.entry(call).or_default().push(rule);
    }
    Ok(rules)
}

/// A call and what one of its arguments must be.
type Conditional = (c_long, Result<SeccompCondition, seccompiler::BackendError>);

/// Files are opened to be read.
fn to_read() -> Conditional {
    let reading = SeccompCmpOp::MaskedEq(O_ACCMODE as u64);
    (libc::SYS_openat, argument(2, reading, O_RDONLY as u64))
}

/// No sockets but those of the internet.
fn internet() -> [Conditional; 2] {
    [AF_INET, AF_INET6].map(|family| {
        let family = argument(0, SeccompCmpOp::Eq, family as u64);
        (libc::SYS_socket, family)
    })
}

/// Calls that are allowed with some arguments only.
fn with_conditions() -> [Conditional; 5] {
    let not_executable = || argument(2, SeccompCmpOp::MaskedEq(PROT_EXEC as u64), 0);
    let thread = SeccompCmpOp::MaskedEq(CLONE_THREAD as u64);
    [
        (libc::SYS_mmap, not_executable()),
        (libc::SYS_mprotect, not_executable()),
        // A thread, but no process.
        (libc::SYS_clone, argument(0, thread, CLONE_THREAD as u64)),
        // Threads have names.
        (
            libc::SYS_prctl,
            argument(0, SeccompCmpOp::Eq, PR_SET_NAME as u64),
        ),
        // Reading limits, but not setting them.
        (libc::SYS_prlimit64, argument(2, SeccompCmpOp::Eq, 0)),
    ]
}

fn argument(
    index: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, operator, value)
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, String> {
    SeccompFilter::new(rules, otherwise, listed, TargetArch::x86_64)
        .and_then(TryInto::try_into)
        .map_err(|error| error.to_string())
}

fn apply(program: BpfProgram) -> Result<(), String> {
    apply_filter_all_threads(&program).map_err(|error| error.to_string())
}
