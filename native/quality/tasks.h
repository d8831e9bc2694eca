/* Tasks of a JSONL file, one a line. What is asked stands in one of these forms:
 *
 *   {"query" or "prompt": TEXT, "choices": [TEXT...], "answer" or "gold": INDEX}
 *   {"ctx": TEXT, "endings": [TEXT...], "label": INDEX, a number or digits}           HellaSwag
 *   {"question": TEXT, "choices": {"text": [TEXT...], "label": [...]}, "answerKey": LABEL}  ARC
 *   {"text": TEXT}: its last word is to be told                                       LAMBADA
 */
#ifndef QUALITY_TASKS_H
#define QUALITY_TASKS_H

#include "import/json.h"

#define TASK_MOST_CHOICES 64

typedef struct task {
  hb_json json;                         /* whose strings the task's are */
  const char *before, *after;           /* what frames the prompt */
  hb_string prompt;                     /* of a text without its last word, too */
  hb_string choices[TASK_MOST_CHOICES]; /* continue the prompt behind a space; or the last word */
  uint32_t count;                       /* of choices; 1: the last word */
  uint32_t gold;                        /* the right one */
} task;

/* Reads one line; the error says what is wrong with it. */
hb_status task_parse(hb_string line, task *out, hb_error *error);
void task_close(task *t);

#endif
