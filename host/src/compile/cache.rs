//! Machine code on disk, each entry under a MAC.
//!
//! Whoever can write an entry could run native code as this process. So an entry counts only if
//! its MAC, made with a key that only this user can read, fits its name and its bytes; anything
//! else is compiled again.
//!
//! ```text
//! <dir>/key                 32 random bytes, mode 0600
//! <dir>/<name>.cwasm        machine code; name = hash of kind, wasm, engine configuration
//! <dir>/<name>.mac          keyed BLAKE3 of name and machine code
//! <dir>/<name>.lock         held while compiling, so that one process compiles and others wait
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use wasmtime::Engine;

use super::{CompileError, evict, load};
use crate::limits::{self, Bytes};
use crate::worker;

const KEY_BYTES: usize = 32;

/// A directory of machine code for one engine configuration.
pub(super) struct Cache {
    dir: PathBuf,
    /// What all entries may have together.
    size: Bytes,
    /// What may be added before somebody must look again at what is there.
    room: Mutex<Bytes>,
    key: [u8; KEY_BYTES],
    /// Machine code of another configuration is another entry.
    engine: u64,
}

/// What an entry is the machine code of.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Kind {
    /// A core module.
    Module,
    /// A component.
    Component,
}

impl Kind {
    /// Its name on the command line of a worker.
    pub fn name(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Component => "component",
        }
    }
}

/// An open file of machine code that may be loaded: an entry whose MAC was right, or what was
/// compiled just now by this process or a child of it.
pub(super) struct Verified(File);

/// The cache directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the cache {path}: {source}; choose another with --cache-dir")]
pub struct CacheError {
    path: String,
    source: io::Error,
}

impl Verified {
    /// A path to the open file itself: its name in the directory may mean another file by now.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

impl From<Verified> for File {
    fn from(code: Verified) -> Self {
        code.0
    }
}

impl Cache {
    /// Opens a directory, making it and its key if they do not exist.
    pub(super) fn open(dir: &Path, size: Bytes, engine: &Engine) -> Result<Self, CacheError> {
        let fail = |source| CacheError {
            path: dir.display().to_string(),
            source,
        };
        fs::create_dir_all(dir).map_err(fail)?;
        let key = read_or_make_key(dir).map_err(fail)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            dir: dir.to_owned(),
            size,
            room: Mutex::new(Bytes(0)),
            key,
            engine: hasher.finish(),
        })
    }

    /// The machine code of `wasm`, compiled if it is not here yet. Of several that want the same,
    /// also in other processes, one compiles. A disk that takes no entry costs the next start a
    /// compilation and nothing else.
    pub(super) fn get_or_insert(
        &self,
        kind: Kind,
        wasm: &[u8],
        compile: impl FnOnce() -> Result<Vec<u8>, CompileError>,
    ) -> Result<Verified, CompileError> {
        let name = self.name(kind, wasm);
        if let Some(entry) = self.get(&name) {
            return Ok(entry);
        }
        let lock = self.lock(&name);
        if let Some(entry) = self.get(&name) {
            return Ok(entry);
        }
        let code = compile()?;
        let inserted = self.insert(&name, &code);
        // Another process may be waiting for this very file; it is empty and does no harm.
        drop(lock);
        let added = Bytes(code.len() as u64);
        self.make_room(added, &name);
        inserted.or_else(|error| {
            tracing::warn!(%error, dir = %self.dir.display(), "cannot keep machine code");
            in_memory(&code).map_err(CompileError::Memory)
        })
    }

    /// Whether there is an entry for `wasm`, whatever its state.
    pub(super) fn contains(&self, kind: Kind, wasm: &[u8]) -> bool {
        self.path(&self.name(kind, wasm), "cwasm").exists()
    }

    /// Evicts others if the entries may be too large together. Looking at all of them each time
    /// would make the time for a thousand grow with their square; what other processes add
    /// meanwhile is theirs to make room for.
    fn make_room(&self, added: Bytes, keep: &str) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        *room = match room.0.checked_sub(added.0) {
            Some(rest) => Bytes(rest),
            None => {
                let total = evict::down_to(&self.dir, self.size, keep);
                Bytes(self.size.0.saturating_sub(total.0))
            }
        };
    }

    /// Holds back others that want the same, for as long as a compilation can take.
    fn lock(&self, name: &str) -> Option<File> {
        let lock = File::create(self.path(name, "lock")).ok()?;
        let until = Instant::now() + limits::CACHE_LOCK_TIME;
        while let Err(TryLockError::WouldBlock) = lock.try_lock() {
            if Instant::now() >= until {
                return None;
            }
            thread::sleep(limits::CACHE_LOCK_POLL);
        }
        Some(lock)
    }

    fn name(&self, kind: Kind, wasm: &[u8]) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&[kind as u8])
            .update(&self.engine.to_le_bytes())
            .update_rayon(wasm);
        hasher.finalize().to_hex().to_string()
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.dir.join(name).with_extension(extension)
    }

    /// The entry if it is there, whole, ours and unchanged.
    fn get(&self, name: &str) -> Option<Verified> {
        let mut file = File::open(self.path(name, "cwasm")).ok()?;
        let expected: [u8; blake3::OUT_LEN] =
            fs::read(self.path(name, "mac")).ok()?.try_into().ok()?;
        let about = file.metadata().ok()?;
        let is_ours = about.is_file()
            && about.nlink() == 1
            && about.uid() == rustix::process::geteuid().as_raw();
        load::read_ahead(&file);
        let mac = self.mac_of_file(name, &mut file).ok()?;
        // `blake3::Hash` compares in constant time.
        if is_ours && mac == blake3::Hash::from_bytes(expected) {
            // What was used last is evicted last.
            let _ = file.set_modified(SystemTime::now());
            return Some(Verified(file));
        }
        tracing::warn!(
            entry = name,
            "a cache entry does not fit its MAC; compiling again"
        );
        None
    }

    /// Writes an entry. Readers see all of it or nothing: without its MAC it is none.
    fn insert(&self, name: &str, code: &[u8]) -> io::Result<Verified> {
        // One core makes the MAC while another hands the bytes to the kernel.
        let (mac, written) = thread::scope(|scope| {
            let mac = scope.spawn(|| self.mac(name, code));
            let written = self.write(name, "cwasm", code);
            (mac.join(), written)
        });
        let mac = mac.map_err(|_| io::Error::other("making its MAC failed"))?;
        self.write(name, "mac", mac.as_bytes())?;
        Ok(Verified(written?))
    }

    /// Writes a file under a temporary name and gives it its own.
    fn write(&self, name: &str, extension: &str, bytes: &[u8]) -> io::Result<File> {
        let temporary = self.path(name, &format!("{extension}.{}", std::process::id()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| fs::rename(&temporary, self.path(name, extension)));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(file)
    }

    fn mac(&self, name: &str, code: &[u8]) -> blake3::Hash {
        let mut hasher = self.hasher(name);
        hasher.update(code);
        hasher.finalize()
    }

    fn mac_of_file(&self, name: &str, file: &mut File) -> io::Result<blake3::Hash> {
        let mut hasher = self.hasher(name);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finalize()),
                read => hasher.update_rayon(buffer.get(..read).unwrap_or_default()),
            };
        }
    }

    fn hasher(&self, name: &str) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(name.as_bytes());
        hasher
    }
}

/// Machine code that the disk does not take.
pub(super) fn in_memory(code: &[u8]) -> io::Result<Verified> {
    let mut file = worker::in_memory("machine code")?;
    file.write_all(code)?;
    Ok(Verified(file))
}

/// The key of this directory, made if there is none.
fn read_or_make_key(dir: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let path = dir.join("key");
    if !path.exists() {
        make_key(dir, &path)?;
    }
    let wrong = |_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "its file `key` does not hold 32 bytes",
        )
    };
    fs::read(&path)?.try_into().map_err(wrong)
}

/// Two processes may start at once: the first to make the key wins.
fn make_key(dir: &Path, path: &Path) -> io::Result<()> {
    let mut fresh = [0; KEY_BYTES];
    getrandom::fill(&mut fresh).map_err(io::Error::other)?;
    let temporary = dir.join(format!("key.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file.write_all(&fresh);
    // A link fails if the key is there already, and never leaves half a key.
    let linked = written.map(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    linked.map(drop)
}
