/* Asks a node that has proven itself, in C.
 *   ask_c HOME RELAY TEST-ROOT|- QUESTION [FILE]
 * The words go to standard output; the answer with its proofs, judged once more as anybody could,
 * to FILE. */
#include <nostril.h>
#include <stdio.h>
#include <string.h>

static int on_node(void* user, const char* npub, const char* model, int simulated) {
  (void)user;
  fprintf(stderr, "%s of %s%s\n", model, npub,
          simulated ? ", SIMULATED: no TEE stands behind it" : "");
  return 0;
}

static int on_words(void* user, const char* words, size_t size) {
  *(size_t*)user += size;
  fwrite(words, 1, size, stdout);
  fflush(stdout);
  return 0;
}

/* Of a failed call. */
static int failed(const char* what, nostril_status status) {
  fprintf(stderr, "%s: %s: %s\n", what, nostril_status_text(status), nostril_last_error());
  return 1;
}

/* 1 when it could be written. */
static int save(const char* path, const char* text) {
  FILE* file = fopen(path, "wb");
  if (file == NULL) return 0;
  const int good = fputs(text, file) >= 0;
  return fclose(file) == 0 && good;
}

static int ask(nostril_client* client, const nostril_settings* settings, const char* question,
               const char* path) {
  size_t bytes = 0;
  nostril_question asked = {.size = sizeof asked, .text = question};
  nostril_callbacks callbacks = {
      .size = sizeof callbacks, .user = &bytes, .on_node = on_node, .on_words = on_words};
  nostril_ask* handle = NULL;
  nostril_answer* answer = NULL;
  char* report = NULL;
  int result = 1;

  nostril_status status = nostril_ask_start(client, &asked, &callbacks, &handle);
  if (status != NOSTRIL_OK) return failed("ask", status);
  status = nostril_ask_wait(handle, 60000, &answer);
  puts("");
  if (status != NOSTRIL_OK) {
    failed("answer", status);
    goto done;
  }
  fprintf(stderr, "verified, recorded and paid: %lu bytes of words\n", (unsigned long)bytes);
  if (path == NULL) {
    result = 0;
    goto done;
  }
  const char* json = nostril_answer_json(answer);
  status = nostril_check_answer(settings, json, strlen(json), &report);
  if (report != NULL) fputs(report, stderr);
  if (status != NOSTRIL_OK && status != NOSTRIL_SIMULATED) {
    failed("check", status);
    goto done;
  }
  result = save(path, json) ? 0 : 1;
done:
  nostril_text_free(report);
  nostril_answer_free(answer);
  nostril_ask_free(handle);
  return result;
}

int main(int count, char** values) {
  if (count < 5 || count > 6) {
    fputs("ask_c HOME RELAY TEST-ROOT|- QUESTION [FILE]\n", stderr);
    return 2;
  }
  nostril_settings* settings = nostril_settings_new();
  nostril_settings_set_home(settings, values[1]);
  nostril_settings_add_relay(settings, values[2]);
  if (strcmp(values[3], "-") != 0) nostril_settings_add_test_root(settings, values[3]);

  int result;
  nostril_client* client = NULL;
  const nostril_status status = nostril_client_open(NOSTRIL_ABI, settings, &client);
  if (status == NOSTRIL_OK) {
    result = ask(client, settings, values[4], count == 6 ? values[5] : NULL);
  } else {
    result = failed("open", status);
  }
  nostril_client_close(client);
  nostril_settings_free(settings);
  return result;
}
