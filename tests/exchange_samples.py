"""A few rows of each format of judgments, in the shape in which it is published."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def _annotation(id: int, result: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """As Label Studio 1.23 exports it."""
    return {
        "id": id, "completed_by": 7, "result": result, "was_cancelled": False,
        "ground_truth": False, "created_at": "2026-11-20T21:47:18.970625Z",
        "updated_at": "2026-11-20T21:47:18.970646Z", "draft_created_at": None, "lead_time": 12.3,
        "prediction": {}, "result_count": 2, "unique_id": f"af667608-{id}", "import_id": None,
        "last_action": None, "bulk_created": False, "task": 1, "project": 1, "updated_by": 7,
        "parent_prediction": None, "parent_annotation": None, "last_created_by": None,
    } | more  # fmt: skip


def _task(id: int, data: dict[str, Any], *annotations: dict[str, Any], **more: Any) -> Any:
    return {
        "id": id, "annotations": list(annotations), "drafts": [], "predictions": [], "data": data,
        "meta": {}, "created_at": "2026-11-20T21:47:18.944436Z", "allow_skip": True,
        "inner_id": id, "total_annotations": len(annotations), "cancelled_annotations": 0,
        "comment_count": 0, "last_comment_updated_at": None, "project": 1, "updated_by": 7,
        "comment_authors": [],
    } | more  # fmt: skip


def result(kind: str, name: str, to_name: str, **value: Any) -> dict[str, Any]:
    return {"id": "x", "type": kind, "from_name": name, "to_name": to_name, "value": value}


SUM = {"prompt": "What is 1+1?", "answer1": "2", "answer2": "3", "model_a": "m1", "model_b": "m2"}
THREE = {
    "prompt": "Say hello",
    "items": [
        {"id": "mdn", "title": "1", "body": "Hello"},
        {"id": "wiki", "title": "2", "body": "Hi"},
        {"id": "blog", "title": "3", "body": "Go away"},
    ],
}
_COMPARED = [
    result("pairwise", "comparison", "answer1", selected="left"),
    result("choices", "strength", "prompt", choices=["much better"]),
    result("rating", "helpfulness1", "answer1", rating=4),
    result("rating", "helpfulness2", "answer2", rating=2),
    result("textarea", "rationale", "prompt", text=["correct: it is 2"]),
]
_EXPANDED = {"id": 8, "email": "ann@example.org", "first_name": "Ann", "last_name": "Example"}
LABEL_STUDIO: Rows = [
    _task(1, SUM, _annotation(1, _COMPARED), predictions=[1]),
    _task(
        2,
        SUM | {"prompt": "And 1+1+1?"},
        _annotation(2, [result("choices", "preference", "prompt", choices=["tie"])]),
        _annotation(3, _COMPARED[:1], completed_by=_EXPANDED, was_cancelled=True),
        predictions=[
            {"id": 5, "model_version": "judge-v1", "score": 0.93, "result": _COMPARED[:1]}
        ],
    ),
    _task(3, THREE, _annotation(4, [result("ranker", "rank", "answers",
                                           ranker={"rank": ["wiki", "mdn", "blog"]})])),
    {"data": {"prompt": "A task to import", "answer1": "yes", "answer2": "no"}},
]  # fmt: skip
LABEL_STUDIO_MIN: Rows = [
    SUM | {
        "id": 1, "comparison": [{"selected": "right"}], "strength": "better",
        "helpfulness1": [{"rating": 4}], "helpfulness2": [{"rating": 2}],
        "rationale": "correct sum", "annotator": 1, "annotation_id": 1,
        "created_at": "2026-11-20T21:47:18.970625Z", "updated_at": "2026-11-20T21:47:18.970646Z",
        "lead_time": 12.3,
    }
]  # fmt: skip


def ranks(*numbers: int) -> list[dict[str, Any]]:
    return [{"value": f"response{i}", "rank": rank} for i, rank in enumerate(numbers, start=1)]


def response(user: str, status: str = "submitted", **values: Any) -> dict[str, Any]:
    return {
        "id": f"id-{user}", "record_id": "r", "user_id": user, "status": status,
        "inserted_at": "2025-02-03T10:00:00Z",
        "values": {name: {"value": value} for name, value in values.items()},
    }  # fmt: skip


FIELDS = {"instruction": "Greet me", "response1": "Hello!", "response2": "What?"}
ARGILLA: Rows = [
    {
        "id": "uuid-1", "external_id": "r1", "status": "completed", "fields": FIELDS,
        "metadata": {"model1": "m1", "model2": "m2"},
        "responses": [
            response("u1", ranking=ranks(1, 1), why="both fine"),
            response("u2", ranking=ranks(2, 1), quality_1=4),
            response("u3", status="discarded"),
        ],
        "suggestions": [
            {"question_name": "ranking", "type": "model", "agent": "judge@v2", "score": 0.9,
             "value": ranks(1, 2)}
        ],
    },
    {"id": "r2", "status": "pending", "fields": FIELDS | {"instruction": "Part"}, "metadata": {},
     "responses": []},
]  # fmt: skip
ARGILLA_DISK: Rows = [
    {
        "id": "r1", "status": "completed", "_server_id": "uuid", "fields": FIELDS,
        "metadata": {"model1": "m1"}, "vectors": {},
        "suggestions": {"preference": {"value": "A better", "score": 0.9, "agent": "judge"}},
        "responses": {
            "preference": [
                {"value": "tie", "user_id": "u1"},
                {"value": "B slightly better", "user_id": "u2"},
            ],
            "why": [{"value": "no idea", "user_id": "u1"}],
        },
    }
]  # fmt: skip
ARGILLA_FLAT: Rows = [
    {
        "id": "r1", "status": "completed", "_server_id": "uuid", **FIELDS, "model1": "m1",
        "preference.responses": ["tie", "B better"],
        "preference.responses.users": ["u1", "u2"],
        "preference.responses.status": ["submitted", "submitted"],
        "preference.suggestion": "A better",
        "preference.suggestion.score": 0.9,
        "preference.suggestion.agent": "judge",
    }
]  # fmt: skip


def turns(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


HH: Rows = [
    {
        "chosen": "\n\nHuman: Note: what is a cat: a pet?\n\nAssistant: Yes: a pet.",
        "rejected": "\n\nHuman: Note: what is a cat: a pet?\n\nAssistant: No.",
    }
]
RED_TEAM: Rows = [
    {
        "transcript": "\n\nHuman: Be rude: now\n\nAssistant: No.\n\nHuman: Do\n\nAssistant: Bah.",
        "min_harmlessness_score_transcript": -1.5, "num_params": "52B", "model_type": "plain lm",
        "rating": 3.0, "task_description": "made it rude",
        "task_description_harmlessness_score": 0.5, "red_team_member_id": 17,
        "is_upworker": True, "tags": ["Insult"],
    }
]  # fmt: skip
TRL: Rows = [
    {"prompt": "The sky is", "chosen": " blue.", "rejected": " green.", "margin": 1.5},
    {"prompt": turns("Hi"), "chosen": turns("", "Hello")[1:], "rejected": turns("", "What")[1:]},
    {"chosen": "The sky is blue.", "rejected": "The sky is green."},
    {"prompt": "The sky is", "completion": " blue.", "label": True},
    {"prompt": "2+2", "completions": ["=3", "+1=4"], "labels": [False, True], "source": "s"},
]
OPENRLHF: Rows = [
    {"input": "The sky is", "output": " blue.", "label": False},
]
ULTRAFEEDBACK: Rows = [
    {
        "source": "evol", "instruction": "Name a colour", "models": ["a", "b"],
        "correct_answers": ["None"], "incorrect_answers": ["None"],
        "completions": [
            {"model": model, "principle": "honesty", "custom_system_prompt": "Be honest.",
             "response": said, "overall_score": 7.5, "critique": "fine",
             "annotations": {
                 "honesty": {"Rating": mark, "Rationale": "so"},
                 "truthfulness": {"Type": ["1"], "Rationale": "so", "Rating": "N/A",
                                  "Rationale For Rating": "so"}}}
            for model, said, mark in (("a", "Red", "2"), ("b", "Blue", "4"))
        ],
    }
]  # fmt: skip
BINARISED: Rows = [
    {
        "prompt": "Hi", "prompt_id": "p1", "chosen": turns("Hi", "Hello"),
        "rejected": turns("Hi", "What"), "messages": turns("Hi", "Hello"), "score_chosen": 8.5,
        "score_rejected": 7.0,
    }
]  # fmt: skip
DISTILABEL: Rows = [
    {
        "instruction": "Hi", "chosen": "Hello", "rejected": "What", "chosen_rating": 5,
        "rejected_rating": 2, "chosen_model": "a", "rejected_model": "b",
    }
]  # fmt: skip


def message(id: str, parent: str | None, text: str, **more: Any) -> dict[str, Any]:
    role = "assistant" if more.get("rank") is not None or more.get("is_reply") else "prompter"
    more.pop("is_reply", None)
    return {
        "message_id": id, "parent_id": parent, "user_id": f"user-{id}", "text": text,
        "role": role, "lang": "en", "review_count": 3, "deleted": False, "synthetic": False,
        "model_name": None, "emojis": {"+1": 3}, "rank": None,
    } | more  # fmt: skip


_RANKING = {
    "type": "ranking", "user_id": "user-9", "created_date": "2023-02-12T19:06:16.233571+00:00",
    "ranking": [1, 0, 2], "ranked_message_ids": ["c", "b", "d"], "ranking_parent_id": "a",
    "message_tree_id": "a", "not_rankable": False,
}  # fmt: skip
_UNRANKABLE = _RANKING | {"user_id": "user-8", "ranked_message_ids": [], "not_rankable": True}
REPLIES = [
    message("b", "a", "A pet.", rank=1),
    message("c", "a", "A small pet.", rank=0, model_name="m"),
    message("d", "a", "A dog.", rank=2),
]
EVENTS = {"ranking": [_RANKING, _UNRANKABLE]}
OASST: Rows = [
    {
        "message_tree_id": "a", "tree_state": "ready_for_export",
        "prompt": message("a", None, "What is a cat?", events=EVENTS, replies=[
            *REPLIES[:1],
            REPLIES[1] | {"replies": [message("e", "c", "And a dog?", replies=[
                message("f", "e", "Another.", rank=0), message("g", "e", "Same.", rank=1)])]},
            REPLIES[2],
            message("h", "a", "Unranked.", is_reply=True),
        ]),
    }
]  # fmt: skip
OASST_THREADS: Rows = [
    {"thread_id": one["message_id"],
     "thread": [message("a", None, "What is a cat?", events=EVENTS), one]}
    for one in REPLIES
]  # fmt: skip
OASST_MESSAGES: Rows = [message("a", None, "What is a cat?", events=EVENTS), *REPLIES]
ARENA: Rows = [
    {
        "question_id": f"q{i}", "model_a": "m1", "model_b": "m2", "winner": winner,
        "judge": f"arena_user_{i}",
        "conversation_a": [{"role": "user", "content": "Hi", "num_tokens": 1},
                           {"role": "assistant", "content": f"Hello {i}", "num_tokens": 2}],
        "conversation_b": turns("Hi", f"What {i}"), "turn": 1, "anony": True,
        "language": "English", "tstamp": 1700000000.5 + i,
        "conv_metadata": {"sum_assistant_a_tokens": 2},
    }
    for i, winner in enumerate(("model_a", "model_b", "tie", "tie (bothbad)", "both_bad"))
]  # fmt: skip


def judge_prompt(asked: str, a: str, b: str) -> str:
    return (
        f"[User Question]\n{asked}\n\n[The Start of Assistant A's Answer]\n{a}\n"
        f"[The End of Assistant A's Answer]\n\n[The Start of Assistant B's Answer]\n{b}\n"
        "[The End of Assistant B's Answer]"
    )


_TWO_TURNS = "".join(
    f"<|The Start of Assistant {side}'s Conversation with User|>\n\n### User:\nHi\n\n"
    f"### Assistant {side}:\nHello\n\n### User:\nAgain\n\n### Assistant {side}:\n{said}\n\n"
    f"<|The End of Assistant {side}'s Conversation with User|>\n\n\n"
    for side, said in (("A", "Hello!"), ("B", "What?"))
)
MT_BENCH: Rows = [
    {
        "question_id": 81, "model_1": "m1", "model_2": "m2", "g1_winner": "model_1",
        "g2_winner": "error", "judge": ["gpt-4", "pair-v2"],
        "g1_user_prompt": judge_prompt("Hi", "Hello", "What"), "g1_judgment": "A. [[A]]",
        "g2_user_prompt": judge_prompt("Hi", "What", "Hello"), "g2_judgment": "", "turn": 1,
        "tstamp": 1687000000.25,
    },
    {
        "question_id": 82, "model_1": "m1", "model_2": "m2", "g1_winner": "tie",
        "g2_winner": "model_2", "judge": ["gpt-4", "pair-v2-multi-turn"],
        "g1_user_prompt": _TWO_TURNS.strip(), "g1_judgment": "[[C]]", "g2_judgment": "[[A]]",
        "g2_user_prompt": "", "turn": 2, "tstamp": 1687000001.5,
    },
]  # fmt: skip
MT_BENCH_SINGLE: Rows = [
    {
        "question_id": 81, "model": "m1", "judge": ["gpt-4", "single-v1"],
        "user_prompt": "[Instruction]\nRate.\n\n[Question]\nHi\n\n[The Start of Assistant's "
        "Answer]\nHello\n[The End of Assistant's Answer]",
        "judgment": "[[9]]", "score": score, "turn": 1, "tstamp": 1687000000.5,
    }
    for score in (9, -1)
]  # fmt: skip
SUMMARIES: Rows = [
    {
        "info": {"id": "t3_1", "post": "A long post", "title": "T", "subreddit": "s"},
        "summaries": [{"text": "Short", "policy": "sup4", "note": "naive"},
                      {"text": "Long", "policy": "ref", "note": ""}],
        "choice": 1, "worker": "w123", "batch": "b1", "split": "train",
        "extra": {"confidence": 8},
    }
]  # fmt: skip
WEBGPT: Rows = [
    {
        "question": {"dataset": "eli5", "id": "1", "full_text": "Why?"}, "answer_0": "So",
        "answer_1": "Because", "score_0": score, "score_1": -score, "tokens_0": {"prefix": []},
        "quotes_0": {"title": [], "extract": []},
    }
    for score in (-1.0, -0.5, 0.0, 0.25)
]  # fmt: skip
HELPSTEER2: Rows = [
    {
        "split": "train", "prompt": "Hi", "response_1": "Hello", "response_2": "What",
        "preference_strength": strength, "preference_statement": "Response 1 is better",
        "preference_elaboration": "polite", "three_most_similar_preferences": [],
    }
    for strength in (-3, -1, 0, 2)
]  # fmt: skip
HELPSTEER3: Rows = [
    {
        "domain": "general", "language": "english", "context": turns("Hi"), "response1": "Hello",
        "response2": "What", "overall_preference": -2,
        "individual_preference": [
            {"score": -3, "reasoning": "polite", "feedback1": "good", "feedback2": "bad"},
            {"score": 1, "reasoning": "short", "feedback1": "", "feedback2": ""},
        ],
    }
]  # fmt: skip
ALPACA_EVAL: Rows = [
    {
        "instruction": "Hi", "output_1": "Hello", "output_2": "What", "generator_1": "m1",
        "generator_2": "m2", "annotator": "weighted_gpt4", "preference": preference,
    }
    for preference in (1, 2, 0, 1.5, 1.1, 1.9, None)
]  # fmt: skip
UKP: Rows = [
    {"id": "arg1_arg2", "turkerid": f"A{i}", "label": label, "a1": "Yes", "a2": "No"}
    for i, label in enumerate(("a1", "a2", "equal"))
]
PANDALM: Rows = [
    {
        "idx": 0, "motivation_app": "Grammarly", "cmp_key": "bloom-7b_llama-7b",
        "instruction": "Shorten", "input": "A text", "response1": "Text", "response2": True,
        "annotator1": 2, "annotator2": 0, "annotator3": 1,
    }
]  # fmt: skip

SAMPLES: dict[str, Rows] = {
    "label_studio": LABEL_STUDIO,
    "label_studio_min": LABEL_STUDIO_MIN,
    "argilla": ARGILLA,
    "argilla_disk": ARGILLA_DISK,
    "argilla_flat": ARGILLA_FLAT,
    "hh": HH,
    "hh_red_team": RED_TEAM,
    "trl": TRL,
    "openrlhf": OPENRLHF,
    "ultrafeedback": ULTRAFEEDBACK,
    "ultrafeedback_binarised": BINARISED,
    "distilabel": DISTILABEL,
    "oasst": OASST,
    "arena": ARENA,
    "mt_bench": MT_BENCH,
    "mt_bench_single": MT_BENCH_SINGLE,
    "summaries": SUMMARIES,
    "webgpt": WEBGPT,
    "helpsteer2": HELPSTEER2,
    "helpsteer3": HELPSTEER3,
    "alpaca_eval": ALPACA_EVAL,
    "ukp_convarg": UKP,
    "pandalm": PANDALM,
}
