//! Builds the stub: the freestanding child that the library embeds (see `src/stub.rs`).

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How the stub is compiled: small, alone, without a trace of an unwinder or a loader.
const RUSTC: &[&str] = &[
    "--edition=2024",
    "--crate-type=bin",
    "--crate-name=cofferdam_stub",
    "--cfg=cofferdam_stub",
    "--cap-lints=allow",
    "-Cpanic=abort",
    "-Copt-level=s",
    "-Clto=fat",
    "-Ccodegen-units=1",
    "-Crelocation-model=static",
    "-Cdebuginfo=0",
    "-Cdebug-assertions=off",
    "-Coverflow-checks=off",
    "-Cforce-unwind-tables=no",
    "-Cstrip=symbols",
    "-Cdefault-linker-libraries=no",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Clink-arg=-no-pie",
    "-Clink-arg=-Wl,--gc-sections",
    "-Clink-arg=-Wl,--build-id=none",
    "-Clink-arg=-Wl,-z,noexecstack",
    "-Clink-arg=-Wl,-z,max-page-size=4096",
    "-Clink-arg=-Wl,-z,common-page-size=4096",
];

fn main() -> Result<(), Box<dyn Error>> {
    for source in ["build.rs", "src/stub.rs", "src/stub", "src/sys", "src/backend/linux/raw.rs"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if env::var_os("CARGO_FEATURE_LINUX").is_none()
        || !is("CARGO_CFG_TARGET_OS", "linux")
        || !is("CARGO_CFG_TARGET_ARCH", "x86_64")
    {
        return Ok(());
    }
    let stub = Path::new(&need("OUT_DIR")?).join("stub");
    compile(&stub)?;
    check(&fs::read(&stub)?)?;
    Ok(())
}

fn compile(stub: &Path) -> Result<(), Box<dyn Error>> {
    let mut rustc = Command::new(need("RUSTC")?);
    rustc.args(RUSTC).arg("--target").arg(need("TARGET")?).arg("-o").arg(stub);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsString::from("-Clinker=");
        option.push(linker);
        rustc.arg(option);
    }
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        // Or rustc adds its own start files of musl.
        rustc.arg("-Clink-self-contained=no");
    }
    let status = rustc.arg("src/stub.rs").status()?;
    if !status.success() {
        return Err(format!("the stub does not compile ({status}): {rustc:?}").into());
    }
    Ok(())
}

/// Refuses a stub that needs anything but itself.
fn check(elf: &[u8]) -> Result<(), Box<dyn Error>> {
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    const WRITE_AND_EXECUTE: u32 = 3;
    if elf.get(..5) != Some(b"\x7fELF\x02") {
        return Err("the stub is no 64-bit ELF file".into());
    }
    let headers = usize::try_from(number(elf, 32, 8)?)?;
    for i in 0..usize::try_from(number(elf, 56, 2)?)? {
        let at = headers + i * 56;
        let flags = u32::try_from(number(elf, at + 4, 4)?)?;
        match u32::try_from(number(elf, at, 4)?)? {
            PT_DYNAMIC | PT_INTERP => {
                return Err("the stub is linked dynamically; the linker ignored -static".into());
            }
            PT_LOAD if flags & WRITE_AND_EXECUTE == WRITE_AND_EXECUTE => {
                return Err("the stub has a segment both writable and executable".into());
            }
            _ => (),
        }
    }
    Ok(())
}

fn number(elf: &[u8], at: usize, len: usize) -> Result<u64, Box<dyn Error>> {
    let bytes = elf.get(at..at + len).ok_or("the stub is cut short")?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn need(name: &str) -> Result<OsString, Box<dyn Error>> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}").into())
}
