// Questions that a program answers about its own process, on stdout:
//     --cuda                "usable: what it runs on", "usable, default: ..." or "unusable: why"; asked twice
//     --create BACKEND      the back end of an index made so, or "<status>: message"
//     --log-probabilities   log p of the only token there is
#pragma once

bool answerChoice(int argc, char** argv);  // false: the arguments are no such question
