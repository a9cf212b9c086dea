/* nostril.h: private, verified inference for programs in C and in every language that can call C.
 *
 *   nostril_settings *settings = nostril_settings_new();
 *   nostril_settings_set_home(settings, "/home/me/.nostril");
 *   nostril_settings_add_relay(settings, "wss://relay.example");
 *   nostril_client *client = NULL;
 *   if (nostril_client_open(NOSTRIL_ABI, settings, &client) != NOSTRIL_OK)
 *     puts(nostril_last_error());
 *
 * Nothing is sent before a node's evidence has passed the policy, and nothing is paid but what its
 * record proves (docs/library.md). C99; no C++ exception crosses it.
 *
 * Interface version. A program passes the NOSTRIL_ABI that it was compiled with to
 * nostril_client_open(); a library that does not know it refuses. Structs begin with their size.
 * What was there once stays as it is.
 *
 * Errors. A call that can fail returns a nostril_status; other than NOSTRIL_OK it leaves its
 * results NULL (where nothing else is said) and a sentence in nostril_last_error().
 *
 * Memory. Who got a handle frees it with the function of its type; those take NULL. Texts of a
 * handle live as long as it does. All texts are UTF-8 and end in NUL; of bodies the size counts.
 * Passed texts are copied.
 *
 * Threads. A handle may be used from any thread; a settings handle from one at a time, and none
 * while it is freed. A client has threads of its own, which take no signals. Callbacks come on one
 * of them: they return soon (the node waits for what is not taken) and call nothing of this header
 * but nostril_ask_start(), nostril_ask_cancel(), and what reads a text; other calls there fail with
 * NOSTRIL_IN_CALLBACK. SIGPIPE is ignored from the first client on, unless the program handles it.
 * A client is not for use after fork(). One client a home. Nothing is written to standard output or
 * error.
 */
#ifndef NOSTRIL_H
#define NOSTRIL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NOSTRIL_API __attribute__((visibility("default")))
#else
#define NOSTRIL_API
#endif

#define NOSTRIL_ABI 1

/* Outcomes. New ones may come: what is not NOSTRIL_OK is no success. */
typedef int32_t nostril_status;

enum {
  NOSTRIL_OK = 0,
  /* No verified answer, because: */
  NOSTRIL_NOT_OFFERED = 1,    /* nodes offer other models only */
  NOSTRIL_NOBODY_LISTENS = 2, /* no relay knows anybody who listens to the node's key */
  NOSTRIL_NOT_TAKEN = 3,      /* the relays refuse the request itself */
  NOSTRIL_NO_ANSWER = 4,      /* no node may be used, or it fell silent; or the client was closed */
  NOSTRIL_REFUSED = 5,        /* the node said no */
  NOSTRIL_BROKEN = 6,         /* the session's rules, or record and hashes, were violated */
  NOSTRIL_NOT_PAYABLE = 7,    /* the record fits not price, usage or history: nothing was paid */
  NOSTRIL_JOURNAL_FAILED = 8, /* the home can't be written */
  NOSTRIL_NO_CHANNEL = 9,     /* the node is paid on a chain, and no channel there is open */
  NOSTRIL_NOT_WHOLE = 64,     /* stopped, or the engine failed: the answer is not the whole */
  NOSTRIL_FALSE = 65,         /* nostril_check_answer(): a finding is wrong */
  NOSTRIL_SIMULATED = 66,     /* nostril_check_answer(): right, but no TEE stands behind it */
  /* The call itself: */
  NOSTRIL_INVALID = 128,     /* an argument */
  NOSTRIL_UNUSABLE = 129,    /* home, key, policy, root or relay can't be used */
  NOSTRIL_TIMEOUT = 130,     /* not within the given time; the question goes on */
  NOSTRIL_IN_CALLBACK = 131, /* not allowed there */
  NOSTRIL_OTHER_ABI = 132,   /* this library does not know the interface of the program */
  NOSTRIL_INTERNAL = 133
};

typedef struct nostril_settings nostril_settings;
typedef struct nostril_client nostril_client;
typedef struct nostril_ask nostril_ask;
typedef struct nostril_answer nostril_answer;

/* The newest interface of this library, and its version, as "0.1.0". */
NOSTRIL_API uint32_t nostril_abi(void);
NOSTRIL_API const char* nostril_version(void);

/* A sentence on the last call of this thread that failed; till its next failure. Never NULL. */
NOSTRIL_API const char* nostril_last_error(void);
/* The status in a word, as "not-offered". Never NULL. */
NOSTRIL_API const char* nostril_status_text(nostril_status status);

/* ---- Settings -----------------------------------------------------------------------------------
 * NULL when memory is out. Home and one relay must be set. */
NOSTRIL_API nostril_settings* nostril_settings_new(void);
NOSTRIL_API void nostril_settings_free(nostril_settings* settings);
/* Folder of payment key and journal; made, for its owner only. */
NOSTRIL_API nostril_status nostril_settings_set_home(nostril_settings* settings, const char* path);
/* ws:// or wss://, 16 at most. */
NOSTRIL_API nostril_status nostril_settings_add_relay(nostril_settings* settings, const char* url);
/* PEM file of roots for wss://; else the system's. */
NOSTRIL_API nostril_status nostril_settings_set_ca_file(nostril_settings* settings,
                                                        const char* path);
/* DER file of a test root: also take SIMULATED evidence under it, behind which no TEE stands. */
NOSTRIL_API nostril_status nostril_settings_add_test_root(nostril_settings* settings,
                                                          const char* path);
/* TOML file: what evidence is taken (docs/verify.md); else the defaults. */
NOSTRIL_API nostril_status nostril_settings_set_policy(nostril_settings* settings,
                                                       const char* path);
/* Most that one node may be owed, in base units of its asset; else 1,000,000. */
NOSTRIL_API nostril_status nostril_settings_set_budget(nostril_settings* settings, int64_t most);

/* ---- Client -------------------------------------------------------------------------------------
 */
/* `abi`: NOSTRIL_ABI. */
NOSTRIL_API nostril_status nostril_client_open(uint32_t abi, const nostril_settings* settings,
                                               nostril_client** client);
/* Ends what is under way. Not in a callback: the process is ended there. */
NOSTRIL_API void nostril_client_close(nostril_client* client);

/* What the client thinks of every offer, as JSON (`nostril offers --json`), once a relay has sent
 * all that it stores, or after `wait_ms`. To be freed with nostril_text_free(). */
NOSTRIL_API nostril_status nostril_client_offers(nostril_client* client, int64_t wait_ms,
                                                 char** json);
/* A signed event, as JSON, to all relays: NOSTRIL_OK when one has taken it, else
 * NOSTRIL_NOT_TAKEN. */
NOSTRIL_API nostril_status nostril_client_publish(nostril_client* client, const char* event_json);
NOSTRIL_API void nostril_text_free(char* text);

/* ---- Asking -------------------------------------------------------------------------------------
 */
typedef struct nostril_question {
  size_t size;       /* sizeof(nostril_question) */
  const char* model; /* NULL: any */
  const char* text;  /* a question in words, asked as a streamed chat; or NULL, and then: */
  const char* path;  /* NULL: /v1/chat/completions */
  const char* body;  /* JSON object, 8 MiB at most, as OpenAI's API takes it */
  uint64_t response_bytes_max; /* 0: 64 MiB; a longer answer is stopped */
} nostril_question;

/* Each may be NULL. `user` is passed on. 0 goes on, anything else stops the answer. */
typedef struct nostril_callbacks {
  size_t size; /* sizeof(nostril_callbacks) */
  void* user;
  /* Its evidence has passed and it answers; before the first byte. */
  int (*on_node)(void* user, const char* npub, const char* model, int simulated);
  /* Words of a streamed chat answer; not ended by NUL. */
  int (*on_words)(void* user, const char* words, size_t size);
  /* Exact bytes of any answer. */
  int (*on_bytes)(void* user, const char* bytes, size_t size);
} nostril_callbacks;

/* `callbacks` may be NULL. */
NOSTRIL_API nostril_status nostril_ask_start(nostril_client* client,
                                             const nostril_question* question,
                                             const nostril_callbacks* callbacks, nostril_ask** ask);
/* Waits so long; below 0: for the end. NOSTRIL_OK only when the answer is whole and verified. When
 * the answer has ended, `*answer` is set whatever the outcome, and is the caller's; each call gives
 * one of its own. `answer` may be NULL. */
NOSTRIL_API nostril_status nostril_ask_wait(nostril_ask* ask, int64_t wait_ms,
                                            nostril_answer** answer);
/* Stops the engine; the answer ends with the record of what was used. */
NOSTRIL_API void nostril_ask_cancel(nostril_ask* ask);
/* The question goes on if it has not ended, and callbacks still come. */
NOSTRIL_API void nostril_ask_free(nostril_ask* ask);

/* ---- Answers: immutable
 * -------------------------------------------------------------------------- Texts are empty, never
 * NULL, when there are none. */
NOSTRIL_API void nostril_answer_free(nostril_answer* answer);
NOSTRIL_API nostril_status nostril_answer_status(const nostril_answer* answer);
/* A sentence; empty when verified. */
NOSTRIL_API const char* nostril_answer_detail(const nostril_answer* answer);
/* 1: no TEE stands behind the node, only a test root that was named in the settings. */
NOSTRIL_API int nostril_answer_simulated(const nostril_answer* answer);
/* The engine's; 0: it did not answer. */
NOSTRIL_API int nostril_answer_http_status(const nostril_answer* answer);
NOSTRIL_API const char* nostril_answer_node(const nostril_answer* answer); /* npub1... */
NOSTRIL_API const char* nostril_answer_model(const nostril_answer* answer);
/* Several lines: every claim and every check of the evidence. */
NOSTRIL_API const char* nostril_answer_verdict(const nostril_answer* answer);
/* Exact bodies, also when they are not the whole; `size` may be NULL. */
NOSTRIL_API const char* nostril_answer_request(const nostril_answer* answer, size_t* size);
NOSTRIL_API const char* nostril_answer_response(const nostril_answer* answer, size_t* size);
/* Signed events, JSON. */
NOSTRIL_API const char* nostril_answer_record(const nostril_answer* answer);
NOSTRIL_API const char* nostril_answer_receipt(const nostril_answer* answer);
/* The answer with all that proves it, as a file for nostril_check_answer() and
 * `nostril verify --answer`; empty without a record, or when a body is no text. */
NOSTRIL_API const char* nostril_answer_json(const nostril_answer* answer);

/* Judges a kept answer by its proofs alone, now, under the settings' roots and policy (home and
 * relays are not used): NOSTRIL_OK, NOSTRIL_SIMULATED, NOSTRIL_FALSE; NOSTRIL_INVALID when it can't
 * be read. `*report` is a text with a line for each finding, set for the first three, to be freed
 * with nostril_text_free(); `report` may be NULL. No network. */
NOSTRIL_API nostril_status nostril_check_answer(const nostril_settings* settings,
                                                const char* answer_json, size_t size,
                                                char** report);

#ifdef __cplusplus
}
#endif

#endif
