"""A plugin with a kind whose code fails: its workflow task is tried again until the task's timeout."""

from temporalio.plugin import SimplePlugin

from tests.kinds import FragileWorkflow

KINDS = SimplePlugin("tests.faulty", workflows=[FragileWorkflow])
