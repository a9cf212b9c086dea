nostril_test(events/event)
