#include "quality/tasks.h"

#include <stdlib.h>

static hb_status wrong(hb_error *error, const char *what) {
  return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "%s", what);
}

/* The member of one of two names. */
static hb_item either(hb_item object, const char *name, const char *other) {
  hb_item found = hb_json_get(object, name);
  return found.in ? found : hb_json_get(object, other);
}

static hb_status read_choices(hb_item list, task *out, hb_error *error) {
  if (hb_json_kind_of(list) != HB_JSON_ARRAY) return wrong(error, "the choices are no list");
  hb_json_walk walk = hb_json_begin(list);
  while (hb_json_step(&walk)) {
    if (out->count == TASK_MOST_CHOICES) return wrong(error, "there are more than 64 choices");
    hb_string *choice = &out->choices[out->count++];
    if (!hb_json_string(walk.value, choice)) return wrong(error, "a choice is no text");
    while (choice->length > 0 && choice->data[0] == ' ') {
      choice->data++;
      choice->length--;
    }
    if (choice->length == 0) return wrong(error, "a choice is empty");
  }
  return out->count < 2 ? wrong(error, "there are fewer than 2 choices") : HB_OK;
}

/* An index, written as a number or, in HellaSwag's files, as digits in a string. */
static hb_status read_index(hb_item item, task *out, hb_error *error) {
  uint64_t index = TASK_MOST_CHOICES;
  hb_string digits;
  if (hb_json_string(item, &digits)) {
    if (digits.length == 1 && digits.data[0] >= '0' && digits.data[0] <= '9')
      index = (uint64_t)(digits.data[0] - '0');
  } else if (!hb_json_u64(item, &index)) {
    index = TASK_MOST_CHOICES;
  }
  if (index >= out->count) return wrong(error, "the answer is no index of a choice");
  out->gold = (uint32_t)index;
  return HB_OK;
}

/* The index of the choice whose label the answer is. */
static hb_status read_label(hb_item labels, hb_item answer, task *out, hb_error *error) {
  hb_string wanted, label;
  uint32_t index = 0;
  if (!hb_json_string(answer, &wanted)) return wrong(error, "answerKey is no text");
  for (hb_json_walk walk = hb_json_begin(labels); hb_json_step(&walk); index++)
    if (index < out->count && hb_json_string(walk.value, &label) &&
        hb_string_equal(label, wanted)) {
      out->gold = index;
      return HB_OK;
    }
  return wrong(error, "answerKey is no label of a choice");
}

static bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static hb_status read_last_word(hb_string text, task *out, hb_error *error) {
  while (text.length > 0 && is_space(text.data[text.length - 1])) text.length--;
  size_t begin = text.length;
  while (begin > 0 && !is_space(text.data[begin - 1])) begin--;
  out->choices[0] = (hb_string){text.data + begin, text.length - begin};
  out->count = 1;
  while (begin > 0 && is_space(text.data[begin - 1])) begin--;
  out->prompt = (hb_string){text.data, begin};
  return begin == 0 ? wrong(error, "the text has fewer than 2 words") : HB_OK;
}

static hb_status read_arc(hb_item root, hb_item choices, task *out, hb_error *error) {
  if (!hb_json_string(hb_json_get(root, "question"), &out->prompt))
    return wrong(error, "there is no question");
  out->before = "Question: ";
  out->after = "\nAnswer:";
  HB_TRY(read_choices(hb_json_get(choices, "text"), out, error));
  return read_label(hb_json_get(choices, "label"), hb_json_get(root, "answerKey"), out, error);
}

static hb_status read_task(task *out, hb_error *error) {
  hb_item root = hb_json_root(&out->json), choices = hb_json_get(root, "choices");
  hb_string text;
  if (hb_json_kind_of(root) != HB_JSON_OBJECT) return wrong(error, "it is no object");
  if (hb_json_kind_of(choices) == HB_JSON_OBJECT) return read_arc(root, choices, out, error);
  if (choices.in) {
    if (!hb_json_string(either(root, "query", "prompt"), &out->prompt))
      return wrong(error, "there is neither a query nor a prompt");
    HB_TRY(read_choices(choices, out, error));
    return read_index(either(root, "answer", "gold"), out, error);
  }
  hb_item endings = hb_json_get(root, "endings");
  if (endings.in) {
    if (!hb_json_string(hb_json_get(root, "ctx"), &out->prompt))
      return wrong(error, "there is no ctx");
    HB_TRY(read_choices(endings, out, error));
    return read_index(hb_json_get(root, "label"), out, error);
  }
  if (hb_json_string(hb_json_get(root, "text"), &text)) return read_last_word(text, out, error);
  return wrong(error, "it has neither choices nor endings nor a text");
}

hb_status task_parse(hb_string line, task *out, hb_error *error) {
  *out = (task){.before = "", .after = ""};
  char *copy = malloc(line.length + 1);
  if (!copy) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a task");
  memcpy(copy, line.data, line.length);
  HB_TRY(hb_json_parse(copy, line.length, &out->json, error));
  hb_status status = read_task(out, error);
  if (status != HB_OK) task_close(out);
  return status;
}

void task_close(task *t) {
  hb_json_close(&t->json);
}
