"""What a labelling plan will yield and cost, before anybody judges."""
