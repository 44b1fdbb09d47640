"""``plaudit feedback``: the judgment log from the command line."""

from __future__ import annotations

import typer

from plaudit.commands.feedback_agreement import agreement
from plaudit.commands.feedback_consensus import consensus
from plaudit.commands.feedback_exchange import export_judgments, import_judgments
from plaudit.commands.feedback_leaderboard import leaderboard
from plaudit.commands.feedback_log import verify
from plaudit.commands.feedback_raters import raters
from plaudit.commands.feedback_simulate import PlanCommand, plan_labelling, simulate
from plaudit.commands.people import erase, invite, token

app = typer.Typer(
    name="feedback",
    help="The log of judgments, from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("verify")(verify)
app.command("import")(import_judgments)
app.command("export")(export_judgments)
app.command("agreement")(agreement)
app.command("consensus")(consensus)
app.command("raters")(raters)
app.command("leaderboard")(leaderboard)
app.command("invite")(invite)
app.command("token")(token)
app.command("erase")(erase)
app.command("simulate")(simulate)
app.command("plan", cls=PlanCommand)(plan_labelling)
