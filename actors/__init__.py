"""Who holds live state: plain classes, run as Ray actors by `actors.directory`."""
