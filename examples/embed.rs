//! Runs a command in a container and tells how it ended: `embed ROOTFS COMMAND…`.

use std::error::Error;
use std::process::ExitCode;

use cofferdam::backend::linux::Linux;
use cofferdam::spec::Spec;
use cofferdam::{Create, Exit, Runtime};

fn main() -> ExitCode {
    match embed() {
        Ok(exit) => {
            println!("{exit:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("embed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<Exit, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let rootfs = args.next().ok_or("usage: embed ROOTFS COMMAND...")?;
    let command: Vec<_> = args.collect();
    let spec = Spec::usual(&rootfs, command.iter().map(String::as_str));
    let runtime = Runtime::new(Linux, "/run/cofferdam-example")?;
    let container =
        runtime.run("example", &Create { bundle: "/".to_owned(), spec, ..Create::default() })?;
    let exit = container.wait()?;
    container.delete()?;
    Ok(exit)
}
