//! The `sinew` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    sinew_trainer::cli::main()
}
