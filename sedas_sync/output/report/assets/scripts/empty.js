/* A page without scenes: it has a theme, and nothing to explore. */
import "./colours.js";
import { ready } from "./ready.js";

ready();
