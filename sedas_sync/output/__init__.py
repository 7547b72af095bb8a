"""What users see: text, Markdown, progress, JSON documents, reports and exports."""
