//! An image of our own binary, made on the spot.
//!
//! Target images may have no shell and no `mv`, and nothing can be pulled where no registry is reached. But
//! one program is always at hand: the one that runs. Its file, the libraries it has mapped and its loader are
//! imported as an image; started through the loader, they need nothing from the image's machine.
//! The name holds the mark of the process, so two processes never share, or remove, one.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::TryStreamExt;

use super::elf::Elf;
use super::error::DockerError;
use super::mark::Mark;
use super::transfer;
use super::{Docker, NO_LIMIT};

/// The repository of the images of our own binary; the tag is the mark of the process and a number.
pub(super) const REPOSITORY: &str = "watchkeeper-helper";
const IDLE: Duration = Duration::from_mins(2);
const PROGRAM: &str = "watchkeeper";

/// The image on the engine, and how the program in it is started.
#[derive(Debug, Clone)]
pub(super) struct SelfImage {
    pub(super) name: String,
    pub(super) entrypoint: Vec<String>,
}

/// Our own binary and what it needs, before it is sent.
#[derive(Debug, Clone)]
struct Packed {
    /// Names in `/wk/` and where their contents are.
    files: BTreeMap<String, PathBuf>,
    /// The loader's name in `/wk/`, unless the program is static.
    loader: Option<String>,
}

impl Packed {
    /// Finds out what the program needs: its loader, and what of the libraries of this process it may use.
    fn of(binary: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(binary)?;
        let loader = Elf::new(&bytes).and_then(|elf| elf.interpreter().map(PathBuf::from));
        let mut files = BTreeMap::from([(PROGRAM.to_owned(), binary.to_owned())]);
        let Some(loader) = loader else { return Ok(Self { files, loader: None }) };
        for library in mapped_libraries(&std::fs::read_to_string("/proc/self/maps")?)? {
            files.insert(library_name(&library)?, library);
        }
        let name = file_name(&loader)?;
        files.insert(name.clone(), loader);
        Ok(Self { files, loader: Some(name) })
    }

    /// How the program is started in the image.
    fn entrypoint(&self) -> Vec<String> {
        let program = format!("/wk/{PROGRAM}");
        match &self.loader {
            None => vec![program],
            Some(loader) => {
                vec![format!("/wk/{loader}"), "--library-path".to_owned(), "/wk".to_owned(), program]
            }
        }
    }

    fn write_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(sink);
        for (name, path) in &self.files {
            let mut file = std::fs::File::open(path)?;
            let mut header = tar::Header::new_gnu();
            header.set_size(file.metadata()?.len());
            header.set_mode(0o755);
            tar.append_data(&mut header, format!("wk/{name}"), &mut file)?;
        }
        tar.finish()
    }
}

/// The libraries whose code this process has mapped. One whose file was replaced meanwhile is an error: the
/// file that is there now may not fit.
fn mapped_libraries(maps: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut columns = line.split_ascii_whitespace();
        let executable = columns.nth(1).is_some_and(|rights| rights.contains('x'));
        let Some(start) = line.find('/').filter(|_| executable) else { continue };
        let path = &line[start..];
        let is_library = path.rsplit('/').next().is_some_and(|name| name.contains(".so"));
        if !is_library {
            continue;
        }
        if path.ends_with(" (deleted)") {
            let text = format!("{path}: a library was replaced by an update; restart watchkeeper");
            return Err(io::Error::other(text));
        }
        let path = PathBuf::from(path);
        if !found.contains(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

fn library_name(path: &Path) -> io::Result<String> {
    let bytes = std::fs::read(path)?;
    match Elf::new(&bytes).and_then(|elf| elf.soname().map(str::to_owned)) {
        Some(name) if !name.contains('/') => Ok(name),
        _ => file_name(path),
    }
}

fn file_name(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| io::Error::other(format!("{} has no name", path.display())))
}

impl Docker {
    /// The image of our own binary, made at the first call.
    pub(super) async fn self_image(&self) -> Result<SelfImage, DockerError> {
        let mut cached = self.shared.image.lock().await;
        if let Some(image) = cached.as_ref() {
            return Ok(image.clone());
        }
        let packed = self.pack().await?;
        let image = SelfImage { name: image_name(), entrypoint: packed.entrypoint() };
        // Noted before it is there: whatever happens in between, it is removed. A note without an image is
        // found out when a container is made of it.
        *cached = Some(image.clone());
        if let Err(error) = self.import(&image.name, packed).await {
            *cached = None;
            return Err(error);
        }
        Ok(image)
    }

    async fn pack(&self) -> Result<Packed, DockerError> {
        let binary = self.shared.binary.clone();
        let action = format!("pack {} into an image", binary.display());
        let packed = tokio::task::spawn_blocking(move || Packed::of(&binary)).await;
        let packed = packed.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        packed.map_err(|source| DockerError::Local { action, source })
    }

    /// Forgets the image, because somebody else removed it.
    pub(super) async fn forget_self_image(&self, name: &str) {
        let mut cached = self.shared.image.lock().await;
        if cached.as_ref().is_some_and(|image| image.name == name) {
            *cached = None;
        }
    }

    async fn import(&self, name: &str, packed: Packed) -> Result<(), DockerError> {
        let action = "import the helper image";
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let options = CreateImageOptionsBuilder::default().from_src("-").repo(repository).tag(tag).build();
        let (body, watch) = transfer::outgoing(move |sink| packed.write_to(sink));
        let client = self.client.clone().with_timeout(NO_LIMIT);
        let stream = client.create_image(Some(options), Some(bollard::body_try_stream(body)), None);
        let request = async {
            stream.try_collect::<Vec<_>>().await.map(drop).map_err(|raw| self.translate(action, raw))
        };
        watch.drive(action, IDLE, request).await
    }
}

fn image_name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("{REPOSITORY}:{}.{}", Mark::own(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
7f00-7f01 r--p 00000000 fe:00 12   /usr/lib/libc.so.6
7f01-7f02 r-xp 00000000 fe:00 12   /usr/lib/libc.so.6
7f02-7f03 r-xp 00000000 fe:00 13   /usr/lib/with space/libz.so.1.2
7f02-7f03 r-xp 00000000 fe:00 14   /usr/bin/watchkeeper
7ffd-7ffe r-xp 00000000 00:00 0    [vdso]
";

    #[test]
    fn only_libraries_with_code_are_taken() {
        let found = mapped_libraries(MAPS).unwrap();
        assert_eq!(found, [Path::new("/usr/lib/libc.so.6"), Path::new("/usr/lib/with space/libz.so.1.2")]);
    }

    #[test]
    fn a_replaced_library_asks_for_a_restart() {
        let maps = "7f01-7f02 r-xp 00000000 fe:00 12   /usr/lib/libc.so.6 (deleted)";
        assert!(mapped_libraries(maps).unwrap_err().to_string().contains("restart watchkeeper"));
    }

    #[test]
    fn this_program_is_packed_with_its_loader() {
        let packed = Packed::of(Path::new("/proc/self/exe")).unwrap();
        assert!(packed.files.contains_key(PROGRAM));
        if let Some(loader) = &packed.loader {
            assert!(packed.files.contains_key(loader));
            assert_eq!(packed.entrypoint().len(), 4);
        }
    }
}
