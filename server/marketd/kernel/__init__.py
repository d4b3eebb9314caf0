"""What every slice stands on: units of work, outbox, jobs, broadcast, clock, ids, money, pages, refusals. No domain."""
