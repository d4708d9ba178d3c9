#!/usr/bin/env python3
"""What documents.py promises, on small documents."""

import contextlib
import io
import unittest

import documents
from documents import Document, anchors, check_blocks, check_links


def faults_of_links(**texts):
    """Of documents whose names have no .md: the faults, and how many links there were."""
    known = {"web": 0, "inside": 0}
    read = {f"{name}.md": Document(f"{name}.md", text) for name, text in texts.items()}
    tracked = {*read, "docs/install.md", "src/main.rs"}
    return [fault for _, _, fault in check_links(read, tracked, known)], known


def faults_of_blocks(text, path="page.md"):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        document = Document(path, text)
        faults = [fault for _, fault in [*document.faults, *check_blocks(document)]]
    return faults, said.getvalue()


class Links(unittest.TestCase):
    def test_a_link_leads_to_a_file_a_folder_or_a_heading(self):
        text = "# A `b` c: (d)\n[x](src/main.rs) [y](docs) [z](b.md#two-words) [w](#a-b-c-d) ![p](/src/main.rs)\n[r]: b.md\n"
        faults, known = faults_of_links(a=text, b="## Two *words*\n")
        self.assertEqual((faults, known["inside"]), ([], 6))

    def test_a_link_that_leads_nowhere_is_told(self):
        faults, _ = faults_of_links(a="[x](gone.md) [y](b.md#gone) [z](#gone) [w](../outside)\n[r]: lost.md\n", b="# Here\n")
        self.assertEqual(len(faults), 5, faults)

    def test_what_stands_in_code_is_no_link(self):
        faults, known = faults_of_links(a="`[x](gone)` and\n\n```text\n[y](gone)\n```\n")
        self.assertEqual((faults, known["inside"]), ([], 0))

    def test_the_web_is_counted_and_not_followed(self):
        faults, known = faults_of_links(a="[x](https://example.invalid/a_(b)) [m](mailto:a@b)\n")
        self.assertEqual((faults, known["web"]), ([], 2))

    def test_equal_headings_are_told_apart(self):
        self.assertEqual(list(anchors("# One\n## One\n```sh\n# no heading\n```\n<a id=\"x\"></a>\n")), ["one", "one-1", "x"])


class Blocks(unittest.TestCase):
    def test_a_command_is_run_and_must_succeed(self):
        self.assertIn("ran: page.md:1", faults_of_blocks("```sh\ntrue\n```\n")[1])
        faults, _ = faults_of_blocks("```sh\necho why; false\ntrue\n```\n")
        self.assertTrue(len(faults) == 1 and "exit code 1" in faults[0] and "why" in faults[0], faults)
        self.assertEqual(len(faults_of_blocks("```sh\nfalse | true\n```\n")[0]), 1)

    def test_what_would_change_the_system_or_stays_running_is_not_left_to_run(self):
        for command in ("sudo true", "apt-get install x", "systemctl start lectern"):
            faults, _ = faults_of_blocks(f"```sh\n{command}\n```\n")
            self.assertTrue(len(faults) == 1 and "would change this system" in faults[0], faults)
        self.assertEqual(faults_of_blocks("```sh\nsleep 600 &\n```\n")[0], [])

    def test_a_block_in_a_list_is_run_too(self):
        faults, said = faults_of_blocks("1. do\n\n   ```sh\n   cat << END > /dev/null\n   x\n   END\n   ```\n")
        self.assertEqual(faults, [])
        self.assertIn("ran: page.md:3", said)

    def test_a_command_that_is_not_run_says_why(self):
        faults, said = faults_of_blocks("<!-- not run: it needs a camera -->\n```sh\nfalse\n```\n")
        self.assertEqual(faults, [])
        self.assertIn("not run: page.md:2: it needs a camera", said)
        self.assertEqual(len(faults_of_blocks("<!-- not run: -->\n```sh\nfalse\n```\n")[0]), 1)

    def test_the_reason_stands_directly_before_its_block(self):
        self.assertEqual(len(faults_of_blocks("<!-- not run: x -->\nwords\n\n```sh\ntrue\n```\n")[0]), 1)
        self.assertEqual(len(faults_of_blocks("<!-- not run: x -->\n```json\n1\n```\n")[0]), 1)

    def test_the_first_block_of_the_readme_is_run_elsewhere(self):
        text = "```sh\nfalse\n```\n\n```sh\nfalse\n```\n"
        self.assertEqual(len(faults_of_blocks(text, "README.md")[0]), 1)

    def test_a_block_names_its_language_and_is_of_it(self):
        for wrong in ("```\nx\n```\n", "```json\n{\n```\n", "```toml\nx\n```\n", "```sh\ntrue\n"):
            self.assertEqual(len(faults_of_blocks(wrong)[0]), 1, wrong)
        right = "```json\n{\"a\":1}\n{\"a\":2}\n```\n```toml\nx = 1\n```\n```console\n$ false\n```\n"
        self.assertEqual(faults_of_blocks(right)[0], [])

    def test_a_command_sees_neither_data_nor_input(self):
        documents.os.environ["LECTERN_DATA"] = "/data"
        text = "```sh\n[ -z \"${LECTERN_DATA:-}\" ] && ! read -r line && [ -f Cargo.toml ]\n```\n"
        self.assertEqual(faults_of_blocks(text)[0], [])


if __name__ == "__main__":
    # What is noted in these tests is no part of the run.
    documents.os.environ.pop("CI_NOT_RUN", None)
    unittest.main()
