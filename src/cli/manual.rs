//! `pixelsink manual`: the manual pages and the completions of shells, as files for a package.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};

use super::{Arguments, CliError};

/// The configuration as it is shipped, which explains itself.
const CONFIGURATION: &str = include_str!("../../config/pixelsink.toml");
const NAME: &str = "pixelsink";

/// Writes `man1/`, `man5/` and `completions/` below the directory.
pub(super) fn write(directory: &Path) -> Result<(), CliError> {
    let unwritable =
        |error: io::Error| CliError::Usage(format!("{} can't be written: {error}", directory.display()));
    write_all(directory).map_err(unwritable)
}

fn write_all(directory: &Path) -> io::Result<()> {
    let [man1, man5, completions] = ["man1", "man5", "completions"].map(|name| directory.join(name));
    for directory in [&man1, &man5, &completions] {
        std::fs::create_dir_all(directory)?;
    }
    clap_mangen::generate_to(Arguments::command(), &man1)?;
    std::fs::write(man5.join("pixelsink.toml.5"), configuration_page())?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Arguments::command(), NAME, &completions)?;
    }
    Ok(())
}

/// pixelsink.toml(5): the file itself, in which each key has its default and its reason.
fn configuration_page() -> String {
    let mut page = format!(
        ".TH PIXELSINK.TOML 5 \"\" \"{NAME} {}\"\n.SH NAME\npixelsink.toml \\- the configuration of pixelsink\n\
         .SH DESCRIPTION\nThe daemon reads \\fI/etc/pixelsink/pixelsink.toml\\fR when it starts and when it gets SIGHUP \
         (\\fBsystemctl reload pixelsink\\fR).\n\\fBpixelsink check\\fR tells all that is wrong with a file. Every key is \
         here with its default.\n.SH KEYS\n.nf\n",
        env!("CARGO_PKG_VERSION")
    );
    for line in CONFIGURATION.lines() {
        // A line that begins with a dot or a quote would be a request of roff(7).
        page.push_str("\\&");
        page.push_str(&line.replace('\\', "\\e").replace('-', "\\-"));
        page.push('\n');
    }
    page.push_str(".fi\n.SH SEE ALSO\n\\fBpixelsink\\fR(1)\n");
    page
}
