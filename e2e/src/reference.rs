//! The pages of docs/reference, written from the contract's comments and the programs' own help.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, process::Command};

use parlor_server::{
    services::{Translation, translations},
    status::Reason,
};
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// The reference page of the errors, in Markdown: every reason that the server can give.
pub fn errors() -> String {
    let mut page = String::from(
        "# Errors\n\nWritten by `make reference` from the reasons in `server/src/status.rs`; `make test` compares them.\n\n\
         A refusal is a gRPC status with `google.rpc.ErrorInfo`: `domain` is `parlor`, `reason` is one of these, and\n\
         `metadata` says what it is about. Where waiting helps there is a `RetryInfo`, wrong fields stand in `BadRequest`,\n\
         permissions that the bot lacks in `PreconditionFailure`, and limits in `QuotaFailure`. Only `UNAVAILABLE` is safe to\n\
         repeat without a look at the reason. The API reference says which call gives which reason.\n",
    );
    let mut reasons = Reason::ALL.to_vec();
    reasons.sort_by_key(|reason| (reason.code() as i32, reason.as_str()));
    for code in reasons.chunk_by(|one, next| one.code() == next.code()) {
        let name = code_name(code[0]);
        let _ = write!(page, "\n## {name}\n\n| reason | what it means | what to do |\n|---|---|---|\n");
        for reason in code {
            let _ = writeln!(page, "| `{}` | {} | {} |", reason.as_str(), reason.meaning(), reason.remedy());
        }
    }
    page.push_str(
        "\n## Discord's codes\n\nWhat becomes of what Discord refuses, by the code in its answer; metadata `discord_code` and\n\
         `discord_status` repeat it. Where another reason fits the call better it gives that one: EndRoom is OK with\n\
         `already_gone` for 10003, SendMessage and WebhookService say `CHANNEL_UNKNOWN` for it, and DisconnectParticipant is OK\n\
         for 40032. A 429 is waited for where the caller has time, and a failure of Discord's (5xx) is tried again where that\n\
         cannot do anything twice.\n\n| Discord | what it says | gRPC code | reason | details |\n|---|---|---|---|---|\n",
    );
    for Translation { code, words, failure } in translations() {
        let (reason, details) = (failure.reason(), failure.named_details().join(", "));
        let _ = writeln!(page, "| {code} | {words} | {} | `{}` | {details} |", code_name(reason), reason.as_str());
    }
    page
}

/// The canonical name of a reason's code, such as `NOT_FOUND`.
fn code_name(reason: Reason) -> String {
    let camel = format!("{:?}", reason.code());
    let mut name = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// The reference page of the API, in Markdown.
pub fn api() -> String {
    let set = FileDescriptorSet::decode(parlor_proto::FILE_DESCRIPTOR_SET).expect("build.rs wrote it");
    let mut page = String::from(
        "# API reference\n\nWritten by `make reference` from the comments of `proto/parlor/v1`; `make test` compares them.\n",
    );
    let files: Vec<File<'_>> = set.file.iter().filter(|file| file.package() == "parlor.v1").map(File::new).collect();
    for file in &files {
        for (index, service) in file.descriptor.service.iter().enumerate() {
            file.service(service, &[6, number(index)], &mut page);
        }
    }
    page.push_str("\n# Messages\n");
    for file in &files {
        for (index, message) in file.descriptor.message_type.iter().enumerate() {
            file.message(message, "", &[4, number(index)], &mut page);
        }
    }
    page.push_str("\n# Enumerations\n");
    for file in &files {
        for (index, enumeration) in file.descriptor.enum_type.iter().enumerate() {
            file.enumeration(enumeration, "", &[5, number(index)], &mut page);
        }
        for (index, message) in file.descriptor.message_type.iter().enumerate() {
            for (inner, enumeration) in message.enum_type.iter().enumerate() {
                file.enumeration(enumeration, message.name(), &[4, number(index), 4, number(inner)], &mut page);
            }
        }
    }
    page
}

/// A file with its comments by the path of what they are about (descriptor.proto, `SourceCodeInfo.Location`).
struct File<'a> {
    descriptor: &'a FileDescriptorProto,
    comments: BTreeMap<Vec<i32>, String>,
}

impl<'a> File<'a> {
    fn new(descriptor: &'a FileDescriptorProto) -> Self {
        let locations = descriptor.source_code_info.iter().flat_map(|info| &info.location);
        let comments = locations
            .filter_map(|place| Some((place.path.clone(), place.leading_comments.as_deref()?)))
            .map(|(path, text)| (path, text.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()))
            .collect();
        Self { descriptor, comments }
    }

    fn comment(&self, path: &[i32]) -> &str {
        self.comments.get(path).map_or("", String::as_str)
    }

    /// A comment on one line, for a table.
    fn in_a_cell(&self, path: &[i32]) -> String {
        self.comment(path).replace('\n', " ").replace('|', "\\|")
    }

    fn service(&self, service: &ServiceDescriptorProto, path: &[i32], page: &mut String) {
        write!(page, "\n# {}\n\n{}\n", service.name(), self.comment(path)).expect("a String takes everything");
        for (index, method) in service.method.iter().enumerate() {
            let stream = if method.server_streaming() { "stream of " } else { "" };
            let comment = self.comment(&[path, &[2, number(index)]].concat());
            let (input, output) = (local(method.input_type()), local(method.output_type()));
            write!(page, "\n## {}\n\n`{input}` → {stream}`{output}`\n\n{comment}\n", method.name())
                .expect("a String takes everything");
        }
    }

    fn message(&self, message: &DescriptorProto, within: &str, path: &[i32], page: &mut String) {
        let name = format!("{within}{}", message.name());
        write!(page, "\n## {name}\n\n{}\n", self.comment(path)).expect("a String takes everything");
        if message.field.is_empty() {
            return;
        }
        page.push_str("\n| field | type | |\n|---|---|---|\n");
        for (index, field) in message.field.iter().enumerate() {
            let comment = self.in_a_cell(&[path, &[2, number(index)]].concat());
            let one_of = field.oneof_index.filter(|_| !field.proto3_optional());
            let choice = one_of.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
            let choice = choice.map(|choice| format!("one of `{}`: ", choice.name())).unwrap_or_default();
            writeln!(page, "| `{}` | {} | {choice}{comment} |", field.name(), type_of(field))
                .expect("a String takes everything");
        }
    }

    fn enumeration(&self, enumeration: &EnumDescriptorProto, within: &str, path: &[i32], page: &mut String) {
        let name =
            if within.is_empty() { enumeration.name().to_owned() } else { format!("{within}.{}", enumeration.name()) };
        write!(page, "\n## {name}\n\n{}\n\n| value | |\n|---|---|\n", self.comment(path))
            .expect("a String takes everything");
        for (index, value) in enumeration.value.iter().enumerate() {
            let comment = self.in_a_cell(&[path, &[2, number(index)]].concat());
            writeln!(page, "| `{}` | {comment} |", value.name()).expect("a String takes everything");
        }
    }
}

fn number(index: usize) -> i32 {
    i32::try_from(index).expect("a file does not declare that much")
}

fn local(name: &str) -> &str {
    name.trim_start_matches('.').trim_start_matches("parlor.v1.")
}

fn type_of(field: &FieldDescriptorProto) -> String {
    let many = if field.label() == Label::Repeated { "repeated " } else { "" };
    let kind = field.r#type();
    let name = if matches!(kind, Type::Message | Type::Enum) {
        format!("`{}`", local(field.type_name()))
    } else {
        kind.as_str_name().trim_start_matches("TYPE_").to_lowercase()
    };
    format!("{many}{name}")
}

/// The reference page of a program: what it says of itself and of each of its commands.
///
/// # Panics
/// The program cannot be run.
pub fn command_line(program: &Path) -> String {
    let name = program.file_name().expect("a program has a name").to_string_lossy().into_owned();
    let mut page =
        format!("# {name}\n\nWritten by `make reference` from the program's own help; `make test` compares them.\n");
    let mut left = vec![Vec::new()];
    while let Some(command) = left.pop() {
        let help = help_of(program, &command);
        let title = std::iter::once(&name).chain(&command).cloned().collect::<Vec<_>>().join(" ");
        write!(page, "\n## {title}\n\n```text\n{}\n```\n", help.trim_end()).expect("a String takes everything");
        let inner = commands_in(&help).into_iter().map(|inner| [command.clone(), vec![inner]].concat());
        // Taken from the end, so the last is put in first.
        left.extend(inner.collect::<Vec<_>>().into_iter().rev());
    }
    page
}

fn help_of(program: &Path, command: &[String]) -> String {
    let mut run = Command::new(program);
    run.args(command).arg("--help");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PARLOR_")) {
        run.env_remove(name);
    }
    let output = run.output().unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    String::from_utf8(output.stdout).expect("help is text")
}

/// The names under "Commands:", without `help`, which every program has.
fn commands_in(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(ToOwned::to_owned).collect()
}
