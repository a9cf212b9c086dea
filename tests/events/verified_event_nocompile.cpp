// A type is a proof: nothing but check_id() makes an UnverifiedEvent, nothing but verification a
// VerifiedEvent. Each case is one mistake; case 0 is the right way.
// case 1: is private within this context|calling a private constructor
// case 2: is private within this context|calling a private constructor
// case 3: conversion from .* to non-scalar type|cannot convert|no viable conversion|could not
// convert case 4: no matching function|cannot convert|no viable conversion|could not convert case
// 5: is private within this context|is a private member case 6: discards qualifiers|passing 'const
// .*' as 'this'|no viable overloaded '='|drops const case 7: cannot bind rvalue reference|no
// matching function|rvalue reference
// case 8: is private within this context|calling a private constructor
#include "events/event.h"

using nostril::Event;
using nostril::UnverifiedEvent;
using nostril::VerifiedEvent;

void use(Event event, UnverifiedEvent unverified, VerifiedEvent verified,
         nostril::Verifier& verifier) {
#if CASE == 0
  auto checked = nostril::check_id(event);
  auto result = VerifiedEvent::verify(std::move(*checked), verifier);
  const VerifiedEvent copy = verified;
#elif CASE == 1
  UnverifiedEvent made(event);
#elif CASE == 2
  VerifiedEvent made(event);
#elif CASE == 3
  VerifiedEvent made = unverified;
#elif CASE == 4
  auto result = VerifiedEvent::verify(event, verifier);
#elif CASE == 5
  unverified.event_.content = "x";
#elif CASE == 6
  verified.event() = event;
#elif CASE == 7
  auto result = VerifiedEvent::verify(unverified, verifier);
#elif CASE == 8
  auto result = VerifiedEvent::from_cluster(std::move(unverified), nostril::VerifiedByCluster());
#endif
}
