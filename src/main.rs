//! The `pixelsink` binary: arguments in, exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    pixelsink::daemon::main()
}
