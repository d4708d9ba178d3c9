#!/usr/bin/env python3
"""Checks the documents: every link leads somewhere, and every command does what it says.

    .ci/documents.py [--links] [FILE…]      (default: all *.md that git tracks; --links: links and anchors alone)

- A link within the repository leads to a tracked file or folder, and its #anchor to a heading there. Links to the web are
  counted, not followed.
- A block that begins with ```sh is run by bash, from the repository's root, stopping at the first command that fails. It finds
  target/debug first on PATH and LECTERN_DATA not set, and must leave tracked files as they were; new files are removed.
  A block that would install something (sudo, apt, systemctl, cargo install, rustup) is never run, so it must say why not.
- Where a block cannot be run, the line before it says why: <!-- not run: it needs a camera -->. It is then listed.
- The README's first block is not run here: two other steps run its commands.
- ```toml and ```json blocks parse; toml with [deployment] and [camera] is a configuration that the program takes.
- Every block names its language; ```text and ```console are for what nobody types, or types elsewhere.

Exit code 1 if anything is wrong, which is told with file and line.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
import unicodedata

SECONDS = 300
SHELLS = {"sh", "bash", "shell"}
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?([^()\s>]+(?:\([^()\s]*\))?)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)>?")
SYSTEM = re.compile(r"\b(?:sudo|apt|apt-get|systemctl|cargo install|rustup)\b")
CONFIGURED = re.compile(r"\"(/etc/lectern/[^\"]+)\"")
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
HTML_LINK = re.compile(r"<(?:a|img)\b[^>]*\b(?:href|src)=\"([^\"]+)\"")
HTML_ANCHOR = re.compile(r"<[a-z]+\b[^>]*\b(?:id|name)=\"([^\"]+)\"")
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*([^\s`]*)[^`]*$")
NOT_RUN = re.compile(r"^\s*<!--\s*not run:\s*(.*?)\s*-->\s*$")
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class Block:
    """A fenced block: where it begins, its language, its lines, and why it is not run."""

    def __init__(self, line, language, reason):
        self.line, self.language, self.reason, self.lines = line, language, reason, []

    @property
    def text(self):
        return "".join(f"{line}\n" for line in self.lines)


class Document:
    """A Markdown file: its prose, line by line without code, its fenced blocks and its anchors."""

    def __init__(self, path, text):
        self.path, self.prose, self.blocks, self.faults = path, [], [], []
        fence, indent, before = None, 0, ""
        for number, line in enumerate(text.splitlines(), 1):
            match = FENCE.match(line)
            if fence is None and match:
                indent, fence = len(match[1]), match[2]
                reason = NOT_RUN.match(before)
                self.blocks.append(Block(number, match[3].lower(), reason and reason[1]))
            elif fence is not None and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence, before = None, ""
            elif fence is not None:
                # A block in a list is indented as the list is.
                cut = len(line) - len(line.lstrip())
                self.blocks[-1].lines.append(line[min(indent, cut):])
            else:
                self.prose.append((number, re.sub(r"(`+)(.+?)\1", lambda code: "`" * len(code[0]), line)))
                if line.strip():
                    if NOT_RUN.match(before):
                        self.faults.append((number, "`not run` stands directly before a block, and nowhere else"))
                    before = line
        if fence is not None:
            self.faults.append((self.blocks[-1].line, "the block does not end"))
        if NOT_RUN.match(before):
            self.faults.append((number, "`not run` stands directly before a block, and nowhere else"))
        self.anchors = set(anchors(text))

    def links(self):
        for number, line in self.prose:
            found = [match[1] for match in LINK.finditer(line)]
            found += [match[1] for match in HTML_LINK.finditer(line)]
            found += [match[1] for match in [REFERENCE.match(line)] if match]
            for target in found:
                yield number, target


def anchors(text):
    """The anchors that GitHub gives to the headings of a document, and those written as HTML."""
    seen, fence = {}, None
    for line in text.splitlines():
        match = FENCE.match(line)
        if fence is None and match:
            fence = match[2]
        elif fence is not None:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = None
            continue
        yield from HTML_ANCHOR.findall(line)
        heading = HEADING.match(line)
        if not heading:
            continue
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[2])
        words = re.sub(r"<[^>]+>", "", words).strip().lower()
        kept = [c for c in words if c in " -_" or unicodedata.category(c)[0] in "LNM"]
        slug = "".join(kept).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        yield f"{slug}-{count}" if count else slug


def git(*arguments):
    said = subprocess.run(["git", *arguments, "-z"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [path for path in said.split("\0") if path]


def check_links(documents, tracked, known):
    """Yields (path, line, fault) and counts the links to the web in `known`."""
    folders = {""}
    for path in tracked:
        while path := os.path.dirname(path):
            folders.add(path)
    for document in documents.values():
        for number, target in document.links():
            if ELSEWHERE.match(target) or target.startswith("//"):
                known["web"] += 1
                continue
            known["inside"] += 1
            path, _, anchor = target.partition("#")
            base = "" if path.startswith("/") else os.path.dirname(document.path)
            path = os.path.normpath(os.path.join(base, path.lstrip("/"))) if path else document.path
            path = "" if path == "." else path
            if path not in tracked and path not in folders:
                yield document.path, number, f"{target} leads nowhere: git has no {path}"
            elif anchor and path.endswith(".md"):
                other = documents.get(path)
                if other is None:
                    with open(path, encoding="utf-8") as file:
                        other = Document(path, file.read())
                if anchor not in other.anchors:
                    yield document.path, number, f"{target} leads nowhere: {path} has no heading for #{anchor}"


def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LECTERN_")}
    kept["PATH"] = os.path.abspath("target/debug") + os.pathsep + kept["PATH"]
    return kept


def changed():
    """What differs from what git has, with content: (tracked, untracked)."""
    difference = subprocess.run(["git", "diff", "HEAD"], stdout=subprocess.PIPE, check=True).stdout
    return difference, set(git("ls-files", "--others", "--exclude-standard"))


def run(block):
    """Why the block failed, or None."""
    if SYSTEM.search(block.text):
        return "would change this system; say before it why it is not run"
    # A file and not a pipe, for what a block starts in the background may hold it open.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", block.text], env=environment(),
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        # Also what it left running.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.seek(0)
        said = output.read().decode(errors="replace").strip().splitlines()[-8:]
    if code == 0:
        return None
    end = f"did not end within {SECONDS} s:" if code is None else f"failed with exit code {code}:"
    return "\n    ".join([end, *said])


def check_configuration(block):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "lectern.toml")
        # What systemd would hand to the service, and what would lie beside the configuration.
        beside = {os.path.basename(file) for file in CONFIGURED.findall(block.text)}
        for name in beside | {"mqtt-password", "mqtt-client-key"}:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(CERTIFICATE if name.endswith(".pem") else "secret")
            os.chmod(file.name, 0o600)
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIGURED.sub(lambda file: f'"{folder}/{os.path.basename(file[1])}"', block.text))
        done = subprocess.run(["target/debug/lectern", "check", "--only", "configuration", "--config", path],
                              env=environment() | {"CREDENTIALS_DIRECTORY": folder}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return None if done.returncode == 0 else f"the program does not take it: {done.stdout.strip()}"


def check_block(block):
    """Why a block that is no command is wrong, or None."""
    try:
        if block.language == "toml":
            headers = set(tomllib.loads(block.text))
            if {"deployment", "camera"} <= headers:
                return check_configuration(block)
        elif block.language == "json":
            decoder, rest = json.JSONDecoder(), block.text.lstrip()
            while rest:
                _, end = decoder.raw_decode(rest)
                rest = rest[end:].lstrip()
    except ValueError as error:
        return f"is no {block.language}: {error}"
    return None


def note(words):
    """Lists a check that does not run, as `not_run` of .ci/lib.sh does."""
    print(f"not run: {words}")
    if path := os.environ.get("CI_NOT_RUN"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{words}\n")


def check_blocks(document):
    """Yields (line, fault); runs what can be run."""
    for number, block in enumerate(document.blocks):
        where = f"{document.path}:{block.line}"
        exempt = document.path == "README.md" and number == 0
        if not block.language:
            yield block.line, "the block names no language; ```text is for what is no command"
        elif block.language not in SHELLS:
            if block.reason is not None:
                yield block.line, f"`not run` stands before a block of {block.language}, which is never run"
            if fault := check_block(block):
                yield block.line, fault
        elif exempt:
            print(f"elsewhere: {where} (the steps `demo` and `tests`)")
        elif block.reason is not None:
            if not block.reason:
                yield block.line, "`not run` gives no reason"
            note(f"{where}: {block.reason}")
        elif fault := run(block):
            yield block.line, f"the block {fault}"
        else:
            print(f"ran: {where}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", action="store_true", help="check links and anchors alone")
    parser.add_argument("files", nargs="*", metavar="FILE", help="default: every *.md that git tracks")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    tracked = set(git("ls-files"))
    documents = {}
    for path in options.files or sorted(path for path in tracked if path.endswith(".md")):
        with open(path, encoding="utf-8") as file:
            documents[path] = Document(path, file.read())
    known = {"web": 0, "inside": 0}
    faults = list(check_links(documents, tracked, known))
    for path, document in documents.items():
        faults += [(path, *fault) for fault in document.faults]
        if options.links:
            continue
        tracked_before, untracked_before = changed()
        faults += [(path, *fault) for fault in check_blocks(document)]
        tracked_after, untracked_after = changed()
        if tracked_after != tracked_before:
            faults.append((path, 1, "a block changes tracked files"))
        # A block may use what an earlier one of the same document wrote.
        for made in untracked_after - untracked_before:
            # Moved, not deleted: somebody else may have made it meanwhile.
            kept = os.path.join("target/ci/left", made)
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            os.replace(made, kept)
            print(f"{path}: {made} appeared meanwhile; it is now {kept}")
    print(f"{len(documents)} documents: {known['inside']} links within the repository, {known['web']} to the web, not followed")
    for path, line, fault in faults:
        print(f"{path}:{line}: {fault}")
    sys.exit(1 if faults or not documents else 0)


if __name__ == "__main__":
    main()
